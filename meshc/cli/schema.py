"""`meshc schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from meshc.cli.options import common_options, terminal
from meshc.diagnostics.errors import OutputError


@click.command(
    "schema",
    epilog="Editors with the YAML language server read the schema that the first line of a "
    "document names: # yaml-language-server: $schema=../docs/schema/service.schema.json",
)
@click.argument("kind", type=click.Choice(["service", "mesh"]), default="service")
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path),
    help="Write service.schema.json and mesh.schema.json into this folder instead.",
)
@common_options
def command(kind: str, folder: Path | None) -> int:
    """Print the JSON Schema of a service document or of mesh.yaml."""
    if folder is None:
        click.echo(_text(kind), nl=False)
        return 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("service", "mesh"):
            target = folder / f"{name}.schema.json"
            target.write_text(_text(name), encoding="utf-8")
            terminal().say(f"wrote {target}")
    except OSError as error:
        raise OutputError(f'cannot write "{folder}": {error.strerror}') from error
    return 0


def _text(kind: str) -> str:
    from meshc.spec.schema import MeshSpec, ServiceSpec  # noqa: PLC0415, start-up time

    model = ServiceSpec if kind == "service" else MeshSpec
    schema: dict[str, Any] = model.model_json_schema(by_alias=True)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "meshc service" if kind == "service" else "meshc mesh settings",
        **{key: value for key, value in schema.items() if key != "title"},
    }
    return json.dumps(schema, indent=2) + "\n"
