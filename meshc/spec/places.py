"""Where the documents of a mesh are kept: the seam behind which a folder or a store stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshc.diagnostics import DiagnosticSink
    from meshc.spec.source import SourceFile

ENDINGS = (".yaml", ".yml", ".json")
MESH_STEM = "mesh"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecText:
    """One document before it is parsed.

    ``name`` is what diagnostics call it and its ending says its language; ``stem`` is the name
    of the service where the document itself gives none.  ``source`` is None where its size,
    encoding or characters were reported.
    """

    name: str
    stem: str
    is_mesh: bool
    source: SourceFile | None


class SpecSource(Protocol):
    """Keeps documents, and hands them out as they are at one moment."""

    @property
    def root(self) -> str:
        """What stands before the names of documents where people read them."""

    @property
    def mesh(self) -> str:
        """Name of the mesh whose documents are kept here, unless mesh.yaml gives it another one.

        Empty: only mesh.yaml can say.
        """

    def texts(self, sink: DiagnosticSink) -> Iterable[SpecText]:
        """Return every document, in an order that depends on their names alone.

        Raises SourceError or another MeshcError where they cannot be read at all.
        """
