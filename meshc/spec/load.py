"""Documents → SpecSet; everything wrong with a document becomes a diagnostic."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from meshc.diagnostics import Related
from meshc.diagnostics.names import NAME_RULE, is_name
from meshc.spec.fields import quoted
from meshc.spec.folder import SpecFolder
from meshc.spec.refusal import validated
from meshc.spec.schema import MeshSpec, ServiceSpec
from meshc.spec.source import Document
from meshc.spec.yaml import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.diagnostics import DiagnosticSink
    from meshc.spec.places import SpecSource
    from meshc.spec.source import SourceFile


class ParseCache(Protocol):
    """Remembers what a text parses to, by its digest; forgetting is always allowed."""

    def get(self, digest: str) -> Any | None:
        """Return the parsed data, which is never None for a document that can be used."""

    def put(self, digest: str, data: Any) -> None:
        """Remember the data of a text without findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDocument:
    """One service as its author wrote it, under the name it will have."""

    name: str
    spec: ServiceSpec
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecSet:
    """All documents of a mesh that could be read, each valid in itself."""

    mesh: MeshSpec
    mesh_document: Document | None
    services: tuple[ServiceDocument, ...]
    is_mesh_broken: bool = False
    """Whether `mesh.yaml` is wrong, so that ``mesh`` holds defaults that nobody has chosen."""
    poisoned: frozenset[str] = frozenset()
    """Names of services whose document is wrong, so that nobody is told that they are missing."""
    sources: Mapping[str, SourceFile] = field(default_factory=dict)

    @property
    def mesh_digest(self) -> str:
        """Digest of `mesh.yaml`, empty where there is none."""
        return "" if self.mesh_document is None else self.mesh_document.source.digest


def load_specs(
    specs: Path | SpecSource, sink: DiagnosticSink, cache: ParseCache | None = None
) -> SpecSet:
    """Read every document of a folder or of another place; reports all that is wrong.

    Returns the documents that are valid in themselves.  Raises SourceError, or the error of the
    place, where documents cannot be read at all.
    """
    kept = SpecFolder(specs) if isinstance(specs, Path) else specs
    sources: dict[str, SourceFile] = {}
    meshes: list[Document] = []
    services: list[ServiceDocument] = []
    poisoned: set[str] = set()
    mesh_spec = MeshSpec()
    is_mesh_broken = False
    for text in kept.texts(sink):
        document = None
        if text.source is not None:
            sources[text.name] = text.source
            document = _parse(text.source, sink, cache)
        if document is None:
            is_mesh_broken = is_mesh_broken or text.is_mesh
            poisoned.add(text.stem)
        elif text.is_mesh:
            meshes.append(document)
            given = validated(MeshSpec, document, sink)
            is_mesh_broken = is_mesh_broken or given is None
            mesh_spec = given or mesh_spec
        elif (service := _service(document, text.stem, sink)) is not None:
            services.append(service)
        else:
            poisoned.add(text.stem)
            if isinstance(document.data, dict) and isinstance(document.data.get("name"), str):
                poisoned.add(document.data["name"])
    _report_second_mesh(meshes, sink)
    if kept.mesh and "name" not in mesh_spec.model_fields_set:
        mesh_spec = mesh_spec.model_copy(update={"name": kept.mesh})
    return SpecSet(
        mesh=mesh_spec,
        mesh_document=meshes[0] if meshes else None,
        is_mesh_broken=is_mesh_broken,
        services=tuple(services),
        poisoned=frozenset(poisoned),
        sources=sources,
    )


def _parse(source: SourceFile, sink: DiagnosticSink, cache: ParseCache | None) -> Document | None:
    if cache is not None and (data := cache.get(source.digest)) is not None:
        return Document(source=source, data=data)
    document = parse_yaml(source, sink)
    if document is not None and cache is not None:
        cache.put(source.digest, document.data)
    return document


def _report_second_mesh(meshes: list[Document], sink: DiagnosticSink) -> None:
    for other in meshes[1:]:
        sink.report(
            "MC303",
            f'the mesh is described twice, in "{meshes[0].source.name}" and "{other.source.name}"',
            at=other.span(()),
            hint="keep one of the two files",
            related=[Related(meshes[0].span(()), "the first one")],
        )


def _service(document: Document, stem: str, sink: DiagnosticSink) -> ServiceDocument | None:
    spec = validated(ServiceSpec, document, sink)
    if spec is None:
        return None
    if spec.name is not None:
        return ServiceDocument(name=spec.name, spec=spec, document=document)
    if not is_name(stem):
        sink.report(
            "MC205",
            f"the file's name {quoted(stem)} is not a valid service name",
            at=document.span(()),
            hint=f"{NAME_RULE}; rename the file or add name:",
        )
        return None
    return ServiceDocument(name=stem, spec=spec, document=document)
