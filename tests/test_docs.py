"""What the documentation says is what the program has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

import meshc
from meshc.cli.main import COMMANDS
from meshc.cli.main import meshc as program
from meshc.diagnostics import DiagnosticSink
from meshc.spec.reference import page
from meshc.spec.schema import MeshSpec, ServiceSpec
from meshc.spec.source import SourceFile
from meshc.spec.yaml import parse_yaml

ROOT = Path(meshc.__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    path
    for folder in (
        ROOT / "specs",
        ROOT / "meshc" / "cli" / "starter",
        *(case.parent / "specs" for case in (ROOT / "tests" / "cases").glob("*/out")),
    )
    for path in folder.rglob("[!.]*.yaml")
)


def command(name: str) -> click.Command:
    found = program.get_command(click.Context(program), name)
    assert isinstance(found, click.Command)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_for_itself_and_each_option(name: str) -> None:
    found = command(name)
    assert found.help
    for parameter in found.params:
        if isinstance(parameter, click.Option) and parameter.name != "output":
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", ["build", "check", "explain", "init", "materialize", "bootstrap"])
def test_every_main_command_shows_an_example(name: str) -> None:
    assert f"meshc {name}" in (command(name).epilog or "")


@pytest.mark.parametrize("name", ["demo", "build", "check", "explain", "init", "materialize"])
def test_every_main_command_is_in_the_readme(name: str) -> None:
    assert f"meshc {name}" in README or f"make {name}" in README


def test_the_spec_reference_is_what_the_schema_says() -> None:
    assert (ROOT / "docs" / "specs.md").read_text(encoding="utf-8") == page(), "make docs"


@pytest.mark.parametrize(("kind", "model"), [("service", ServiceSpec), ("mesh", MeshSpec)])
def test_the_published_schemas_have_every_key(kind: str, model: Any) -> None:
    schema = json.loads((ROOT / "docs" / "schema" / f"{kind}.schema.json").read_text())
    expected = model.model_json_schema(by_alias=True)
    assert schema["properties"] == expected["properties"], "make docs"
    assert schema["$defs"] == expected["$defs"], "make docs"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_published_schema_accepts_every_document_of_ours(path: Path) -> None:
    kind = "mesh" if path.stem == "mesh" else "service"
    schema = json.loads((ROOT / "docs" / "schema" / f"{kind}.schema.json").read_text())
    document = parse_yaml(SourceFile(path.name, path.read_text()), DiagnosticSink())
    assert document is not None
    jsonschema.validate(document.data, schema)


def test_the_published_schema_refuses_an_unknown_key() -> None:
    schema = json.loads((ROOT / "docs" / "schema" / "service.schema.json").read_text())
    with pytest.raises(jsonschema.ValidationError, match="portocol"):
        jsonschema.validate({"protocol": "HTTP", "portocol": "HTTP"}, schema)


def test_the_sample_specs_point_editors_to_the_schema() -> None:
    for path in (ROOT / "specs").glob("*.yaml"):
        kind = "mesh" if path.stem == "mesh" else "service"
        first = path.read_text().splitlines()[0]
        assert first == f"# yaml-language-server: $schema=../docs/schema/{kind}.schema.json"
