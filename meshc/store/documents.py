"""One document in a store: what its file is called, whose it is, what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from meshc.diagnostics import DiagnosticSink
from meshc.spec.load import load_specs
from meshc.spec.places import MESH_STEM, SpecText
from meshc.spec.source import decode_source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

_ORDER_IS_NO_MATTER = frozenset({"hosts", "dependent_services"})
_NO_PART_OF_THE_MEANING = {"schema_reference", "name"}
"""Neither of a service's fields: the name is the key of the document."""


def file_name(name: str, content: bytes) -> str:
    """Return what the file of a document is called.

    The text alone decides, so that a document that somebody put there by other means has a
    language too: what is JSON from the first brace to the last is a JSON file.
    """
    if content.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        try:
            orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError:
            return f"{name}.yaml"
        return f"{name}.json"
    return f"{name}.yaml"


def spec_text(
    name: str,
    content: bytes,
    sink: DiagnosticSink,
    *,
    shown: str | None = None,
    is_mesh: bool | None = None,
) -> SpecText:
    """Return a document as the compiler takes it; ``shown`` is what diagnostics call it."""
    called = file_name(name, content) if shown is None else shown
    return SpecText(
        name=called,
        stem=name,
        is_mesh=name == MESH_STEM if is_mesh is None else is_mesh,
        source=decode_source(content, called, sink),
    )


@dataclass(frozen=True, slots=True)
class SpecTexts:
    """Documents in memory as a place where documents are kept."""

    given: Iterable[SpecText]
    root: str = ""
    mesh: str = ""

    def texts(self, _sink: DiagnosticSink) -> Iterable[SpecText]:
        """Return them."""
        return self.given


def meaning(name: str, content: bytes) -> Any:
    """Return what a document says, equal for texts that say the same.

    Neither the order of hosts, dependencies and keys nor comments, spacing and ways to write a
    value are part of it; a default that is written out means the same as one that is not.
    None for a document that is wrong in itself.
    """
    sink = DiagnosticSink()
    specs = load_specs(SpecTexts([spec_text(name, content, sink)]), sink)
    if sink.has_errors:
        return None
    if name == MESH_STEM:
        return _said(specs.mesh, without={"schema_reference"})
    return _said(specs.services[0].spec, without=_NO_PART_OF_THE_MEANING)


def _said(spec: BaseModel, *, without: set[str]) -> dict[str, Any]:
    said = spec.model_dump(exclude=without)
    for field in _ORDER_IS_NO_MATTER.intersection(said):
        said[field] = sorted(said[field], key=lambda entry: str(entry["name"]))
    return said
