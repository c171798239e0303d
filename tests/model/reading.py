"""Texts of a spec folder → what the product says about it, in a form that tests can spell out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.diagnostics import DiagnosticSink
from meshc.model.link import link
from meshc.plan.match import check_policies
from meshc.spec.load import load_specs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from meshc.diagnostics import Diagnostic
    from meshc.model.mesh import Mesh, Node
    from meshc.spec.load import SpecSet


def host(
    name: str, address: str = "10.0.0.1", more: str = "", *, port: int = 80, app: int = 9000
) -> str:
    """One host as an entry of a list."""
    return (
        f"- name: {name}\n"
        f"  ingressAddr: {{host: '{address}', port: {port}}}\n"
        f"  substanceAddr: {{host: 127.0.0.1, port: {app}}}\n{more}"
    )


def service(*hosts: str, protocol: str = "HTTP", more: str = "") -> str:
    """A document; what comes after the hosts is in ``more``."""
    listed = "hosts:\n" + "".join(hosts) if hosts else ""
    return f"protocol: {protocol}\n{listed}{more}"


def calls(*names: str, first_port: int = 9001, more: str = "") -> str:
    """The dependencies of a document."""
    entries = [
        f"- name: {name}\n  egressPort: {first_port + number}\n{more}"
        for number, name in enumerate(names)
    ]
    return "dependentServices:\n" + "".join(entries)


def write(folder: Path, texts: Mapping[str, str]) -> Path:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return folder


def loaded(folder: Path, texts: Mapping[str, str]) -> tuple[SpecSet, list[str]]:
    """Load without linking."""
    sink = DiagnosticSink()
    specs = load_specs(write(folder, texts), sink)
    return specs, lines(sink.sorted())


def linked(folder: Path, texts: Mapping[str, str]) -> tuple[Mesh, tuple[Diagnostic, ...]]:
    """Load, link, and judge policies."""
    sink = DiagnosticSink()
    mesh = link(load_specs(write(folder, texts), sink), sink)
    check_policies(mesh, sink)
    return mesh, sink.sorted()


def good(folder: Path, texts: Mapping[str, str]) -> Mesh:
    """Link a mesh without mistakes."""
    mesh, found = linked(folder, texts)
    assert found == ()
    return mesh


def lines(found: tuple[Diagnostic, ...]) -> list[str]:
    """Findings as one line each: code, place, message."""
    return [
        f"{finding.code} {finding.span}: {finding.message}"
        if finding.span
        else f"{finding.code}: {finding.message}"
        for finding in found
    ]


def only(folder: Path, texts: Mapping[str, str]) -> Diagnostic:
    _, found = linked(folder, texts)
    (finding,) = found
    return finding


def related(finding: Diagnostic) -> list[str]:
    return [f"{one.span}: {one.message}" for one in finding.related]


def node(mesh: Mesh, name: str) -> Node:
    return {str(key): value for key, value in mesh.nodes.items()}[name]
