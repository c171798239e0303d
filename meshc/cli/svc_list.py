"""How `meshc svc list` shows what is in a store."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from meshc.cli.report import counted, tally
from meshc.diagnostics.render import render_text, to_data
from meshc.store.overview import overview

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshc.cli.options import Terminal
    from meshc.store.overview import Overview, Row
    from meshc.store.snapshot import Snapshot
    from meshc.store.source import ConsulStore

_TITLES = ("SERVICE", "PROTOCOL", "HOSTS", "CALLS", "REVISION")
_SHOWN = 3


def show_list(store: ConsulStore, snapshot: Snapshot, *, output: str, shown: Terminal) -> int:
    """Print what is in a store; exit code 1 where a document in it cannot be read."""
    found = overview(store, snapshot)
    if output == "json":
        click.echo(_as_json(store, snapshot, found))
        return int(bool(found.diagnostics))
    texts = {name: source.text for name, source in found.sources.items()}
    text = render_text(found.diagnostics, texts, root="", style=shown.style(sys.stderr))
    if text:
        shown.show(text, newline=False, stream=sys.stderr)
        shown.warn(tally(found.diagnostics))
    _print(found.rows, shown)
    mesh = snapshot.documents.get("mesh")
    settings = f"mesh.yaml {mesh.revision}" if mesh is not None else "no mesh.yaml"
    shown.show(
        f"{store.root}: {counted(len(found.rows), 'service')}, {settings}, "
        f"revision {snapshot.revision.number}"
    )
    return int(bool(found.diagnostics))


def _print(rows: Sequence[Row], shown: Terminal) -> None:
    if not rows:
        return
    table = [_TITLES, *(_cells(row, is_whole=bool(shown.verbosity)) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_TITLES))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        shown.show("  ".join(cells).rstrip())


def _cells(row: Row, *, is_whole: bool) -> tuple[str, ...]:
    hosts, calls = _listed(row.hosts, is_whole=is_whole), _listed(row.calls, is_whole=is_whole)
    return (row.name, row.protocol or "?", hosts, calls, row.revision)


def _listed(names: Sequence[str], *, is_whole: bool) -> str:
    if is_whole or len(names) <= _SHOWN:
        return ", ".join(names) or "-"
    return ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more"


def _as_json(store: ConsulStore, snapshot: Snapshot, found: Overview) -> str:
    mesh = snapshot.documents.get("mesh")
    services: list[dict[str, Any]] = [
        {
            "name": row.name,
            "protocol": row.protocol,
            "hosts": list(row.hosts),
            "dependencies": list(row.calls),
            "revision": row.revision,
        }
        for row in found.rows
    ]
    data = {
        "store": store.root,
        "mesh": store.mesh,
        "revision": snapshot.revision.number,
        "mesh_document": None if mesh is None else {"revision": mesh.revision},
        "services": services,
        "diagnostics": [to_data(one, "") for one in found.diagnostics],
    }
    return json.dumps(data, indent=2, ensure_ascii=False)
