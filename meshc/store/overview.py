"""What is in a store, a line for each service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.diagnostics import DiagnosticSink
from meshc.spec.load import load_specs
from meshc.spec.places import MESH_STEM
from meshc.store.documents import SpecTexts, file_name, spec_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.diagnostics import Diagnostic
    from meshc.spec.source import SourceFile
    from meshc.store.snapshot import Snapshot
    from meshc.store.source import ConsulStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One service; without a protocol its document cannot be read."""

    name: str
    revision: str
    protocol: str | None = None
    hosts: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All services by name, and what is wrong with documents in themselves."""

    rows: tuple[Row, ...]
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, SourceFile]


def overview(store: ConsulStore, snapshot: Snapshot) -> Overview:
    """Summarise the documents of a store, each by itself."""
    sink = DiagnosticSink()
    shown = {
        f"{store.root}/{file_name(name, stored.content)}": stored
        for name, stored in snapshot.documents.items()
    }
    specs = load_specs(
        SpecTexts(
            [
                spec_text(stored.name, stored.content, sink, shown=name)
                for name, stored in shown.items()
            ]
        ),
        sink,
    )
    read = {shown[one.document.source.name].name: one.spec for one in specs.services}
    rows = []
    for name, stored in snapshot.documents.items():
        if name == MESH_STEM:
            continue
        spec = read.get(name)
        if spec is None:
            rows.append(Row(name=name, revision=stored.revision))
            continue
        rows.append(
            Row(
                name=name,
                revision=stored.revision,
                protocol=spec.protocol,
                hosts=tuple(sorted(host.name for host in spec.hosts)),
                calls=tuple(sorted(one.name for one in spec.dependent_services)),
            )
        )
    return Overview(rows=tuple(rows), diagnostics=sink.sorted(), sources=specs.sources)
