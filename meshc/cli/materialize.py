"""`meshc materialize`."""

from __future__ import annotations

from pathlib import Path

import click

from meshc.cli.options import common_options, out_option, terminal


@click.command(
    "materialize",
    epilog="Example: meshc materialize web1 /var/lib/meshc/envoy && "
    "envoy -c /var/lib/meshc/envoy/bootstrap.json",
)
@click.argument("node")
@click.argument("directory", type=click.Path(path_type=Path))
@out_option
@common_options
def command(node: str, directory: Path, out: Path) -> int:
    """Lay NODE's files out in DIRECTORY as its Envoy watches them.

    Every file is verified against the manifest first and replaced by a rename, which is what a
    running Envoy notices. Files that stay the same are not touched.
    """
    from meshc.artifact.store import DirectoryStore  # noqa: PLC0415, start-up time
    from meshc.delivery.materialize import materialize  # noqa: PLC0415, start-up time

    bundle = DirectoryStore(out).node(node)
    result = materialize(bundle, directory)
    terminal().say(
        f"{directory}: {len(result.written)} written, {len(result.unchanged)} unchanged, "
        f"{len(result.removed)} removed (generation {bundle.generation[:12]})"
    )
    return 0
