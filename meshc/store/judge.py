"""Whether the mesh that a change leads to is right; nothing that is wrong is stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshc.diagnostics import DiagnosticSink, Severity, Span
from meshc.pipeline import read_mesh
from meshc.spec.places import MESH_STEM
from meshc.store.documents import SpecTexts, file_name, spec_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshc.diagnostics import Diagnostic
    from meshc.model.mesh import Mesh
    from meshc.spec.places import SpecText
    from meshc.spec.source import SourceFile
    from meshc.store.change import Plan, Wish
    from meshc.store.snapshot import Snapshot
    from meshc.store.source import ConsulStore

MAX_DOCUMENT = 384 * 1024 - 1024
"""Bytes of one document: it is written in a transaction, of which Consul takes 512 KiB in all,
and is a third larger there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found in the mesh as it would be; file names in it are complete."""

    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, SourceFile]

    @property
    def has_errors(self) -> bool:
        """Whether the mesh must not become so."""
        return any(finding.severity is Severity.ERROR for finding in self.diagnostics)


def judge(store: ConsulStore, snapshot: Snapshot, wish: Wish, plan: Plan) -> Judgement:
    """Read the mesh as it would be and report all that is wrong with it.

    A dependency that is not there is a warning only, because a service may come before those
    that it calls; it is an error where this very change takes the dependency away.
    """
    sink = DiagnosticSink()
    texts = list(_texts(store, snapshot, wish, plan, sink))
    mesh, sources = read_mesh(SpecTexts(texts, mesh=store.mesh), sink)
    _check_names(wish, mesh, sink)
    _check_mesh_name(store, texts, mesh, sink)
    called = {
        upstream.origin.at("name").span: upstream.service
        for service in mesh.services.values()
        for upstream in service.upstreams
        if upstream.service not in mesh.services
    }
    found = DiagnosticSink()
    for finding in sink.sorted():
        if finding.code == "MC306" and finding.span is not None:
            service = called[finding.span]
            is_taken_away = service in plan.deleted and not wish.is_forced
            found.add((_taken_away if is_taken_away else _not_there_yet)(finding, service))
        elif finding.code != "MC316" or wish.is_complete:
            # A store begins and may end without services; it is the build that refuses them.
            found.add(finding)
    return Judgement(diagnostics=found.sorted(), sources=sources)


def _texts(
    store: ConsulStore, snapshot: Snapshot, wish: Wish, plan: Plan, sink: DiagnosticSink
) -> Iterator[SpecText]:
    replaced = {wanted.name for wanted in wish.documents} | plan.deleted
    for stored in snapshot.documents.values():
        if stored.name not in replaced:
            shown = f"{store.root}/{file_name(stored.name, stored.content)}"
            yield spec_text(stored.name, stored.content, sink, shown=shown)
    for wanted in wish.documents:
        if len(wanted.content) > MAX_DOCUMENT:
            sink.report(
                "MC103",
                f"the document is larger than {MAX_DOCUMENT // 1024} KiB, "
                "which is what a store in Consul can hold",
                at=Span(wanted.shown, 1, 1, 1, 1),
                hint="split it into one file for each service, or keep this mesh in files",
            )
        yield spec_text(
            wanted.name, wanted.content, sink, shown=wanted.shown, is_mesh=wanted.is_mesh
        )


def _taken_away(finding: Diagnostic, service: str) -> Diagnostic:
    hint = f'take the dependency out first, or delete "{service}" with --force'
    return replace(finding, message=f'dependency "{service}" would be gone', hint=hint)


def _not_there_yet(finding: Diagnostic, service: str) -> Diagnostic:
    guess = finding.hint or ""
    hint = f"apply it as well: meshc svc apply {service} -f FILE; the mesh can be built then"
    return replace(
        finding,
        code="MC330",
        message=f'dependency "{service}" is not in the store yet',
        hint=guess if guess.startswith("did you mean") else hint,
    )


def _check_names(wish: Wish, mesh: Mesh, sink: DiagnosticSink) -> None:
    """Refuse names that the store could not keep apart or would keep under another name."""
    shown = {wanted.shown: wanted for wanted in wish.documents}
    for service in mesh.services.values():
        wanted = shown.get(service.origin.document.source.name)
        if wanted is None or service.is_only_in_consul:  # which nobody stores
            continue
        if service.name != wanted.name:
            sink.report(
                "MC205",
                f'the document says that it is "{service.name}", '
                f'and it is to be stored as "{wanted.name}"',
                at=service.origin.at("name").span,
                hint="leave one of the two names away",
            )
        elif service.name == MESH_STEM:
            sink.report(
                "MC205",
                f'no service in a store can be named "{MESH_STEM}": that is mesh.yaml there',
                at=service.origin.at("name").span,
                hint="give the service another name",
            )


def _check_mesh_name(
    store: ConsulStore, texts: Iterable[SpecText], mesh: Mesh, sink: DiagnosticSink
) -> None:
    file = next((text.name for text in texts if text.is_mesh), None)
    # Where mesh.yaml is wrong the name is a default that nobody has chosen.
    is_broken = any(found.span is not None and found.span.file == file for found in sink.sorted())
    if mesh.settings_origin is not None and mesh.settings.name != store.mesh and not is_broken:
        sink.report(
            "MC331",
            f'the mesh is named "{mesh.settings.name}", and this is the store of "{store.mesh}"',
            at=mesh.settings_origin.at("name").span,
            hint=f"write name: {store.mesh}, or say --specs consul://…/{mesh.settings.name}",
        )
