"""`meshc demo`."""

from __future__ import annotations

from pathlib import Path

import click

from meshc.cli.options import common_options, terminal


@click.command("demo", epilog="With --keep: try the printed commands, then end it with Ctrl-C.")
@click.option("--keep", is_flag=True, help="Leave the mesh running and print what to try.")
@click.option(
    "--specs",
    type=click.Path(path_type=Path),
    help="Folder with a variant of the sample. Default: the sample that comes along.",
)
@click.option(
    "--mode",
    type=click.Choice(["file", "grpc"]),
    default="file",
    show_default=True,
    help="How Envoys get their resources: from files, by an agent on each host, or from meshc "
    "serve, which is stopped and started again on the way.",
)
@common_options
def command(keep: bool, specs: Path | None, mode: str) -> int:
    """Run a mesh of real Envoys on this machine and show it working.

    Each host is a loopback address of its own with an Envoy and a small application. A host is
    taken out and put back while requests run, and none of them fails. Everything that was
    started ends, and nothing is left behind.
    """
    from meshc.demo import DemoOptions, run_demo  # noqa: PLC0415, start-up time

    options = DemoOptions(keep=keep, specs=specs, is_dynamic=mode == "grpc")
    return run_demo(options, terminal().say)
