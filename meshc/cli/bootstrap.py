"""`meshc bootstrap`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from meshc.cli.options import common_options, specs_option, terminal
from meshc.cli.report import failed, show_findings, tally

if TYPE_CHECKING:
    from meshc.spec.places import SpecSource


@click.command(
    "bootstrap",
    epilog="Example: meshc bootstrap web1 > bootstrap.json && envoy -c bootstrap.json",
)
@click.argument("node")
@specs_option
@click.option(
    "--mode",
    type=click.Choice(["file"]),
    default="file",
    show_default=True,
    help="How the Envoy gets its resources.",
)
@common_options
def command(node: str, specs: SpecSource, mode: str) -> int:  # noqa: ARG001, one mode so far
    """Print what NODE's Envoy starts with, checked against Envoy's schema."""
    from meshc.explain import bootstrap_of  # noqa: PLC0415, start-up time

    result, text = bootstrap_of(specs, node)
    if failed(result.diagnostics, is_strict=False):
        shown = terminal()
        show_findings(
            result.diagnostics, result, specs=specs, output="text", stream=sys.stderr, shown=shown
        )
        shown.warn(f"{tally(result.diagnostics)} in {specs.root}")
        return 1
    click.echo(text, nl=False)
    return 0
