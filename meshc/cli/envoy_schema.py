"""`meshc envoy-schema`."""

from __future__ import annotations

import json

import click

from meshc.cli.options import common_options


@click.command("envoy-schema")
@click.option("--format", "output", type=click.Choice(["text", "json"]), default="text")
@common_options
def command(output: str) -> int:
    """List the Envoy versions whose schema is known, and the one that builds are checked against.

    The schema is Envoy's own, taken from its binary: every field, type and constraint.
    """
    from meshc.pipeline import ENVOY_SCHEMA  # noqa: PLC0415, start-up time
    from meshc.proto import known_versions  # noqa: PLC0415, start-up time

    versions = known_versions()
    if output == "json":
        click.echo(json.dumps({"used": ENVOY_SCHEMA, "known": list(versions)}, indent=2))
        return 0
    for version in versions:
        click.echo(version + ("  used by build and check" if version == ENVOY_SCHEMA else ""))
    return 0
