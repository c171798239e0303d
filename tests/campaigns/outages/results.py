"""The figures of all runs together, as JSON: what ``docs/outages.md`` is made of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.campaigns.outages.bars import FEW, percentile
from tests.campaigns.outages.fleet import OURS, SERVICES
from tests.campaigns.outages.plain import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.campaigns.outages.judge import Figures, Run
    from tests.campaigns.outages.overload import Overload

RESULTS = Path(__file__).resolve().parents[3] / "docs" / "outages.json"
_COUNTS = ("requests", "failed", "needless", "lost")
_PARTS = ("before", "early", "late")

Results = dict[str, Any]
"""``rows``: event with settings → kind → column → counts, ``before``, ``early`` and ``late`` as
[p50, p99] in ms or null, and ``out_s``; ``runs``: how many runs a row has, and how many of them
with deliveries; ``overload``: one entry a column."""


def summarize(runs: Iterable[Run], overloads: Iterable[Overload], *, seed: int) -> Results:
    """Add up all runs of an event and its settings."""
    rows: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        rows[f"{run.event} {run.settings}".strip()].append(run)
    return {
        "seed": seed,
        "rows": {row: _row(found) for row, found in rows.items()},
        "runs": {
            row: {"all": len(found), "with_deliveries": sum(one.has_deliveries for one in found)}
            for row, found in rows.items()
        },
        "overload": [asdict(one) for one in overloads],
    }


def _row(runs: list[Run]) -> dict[str, dict[str, Any]]:
    return {
        kind: {column: _cell(runs, column, kind) for column in (OURS, *COLUMNS)}
        for kind in SERVICES
    }


def _cell(runs: list[Run], column: str, kind: str) -> dict[str, Any]:
    found: list[tuple[Run, Figures]] = [
        (run, run.figures[column][kind]) for run in runs if kind in run.figures.get(column, {})
    ]
    cell: dict[str, Any] = {
        name: sum(getattr(figures, name) for _, figures in found) for name in _COUNTS
    }
    for part in _PARTS:
        # More clients would say how busy the machine is.
        pooled = sorted(
            latency
            for run, figures in found
            if run.clients <= FEW
            for latency in getattr(figures, part)
        )
        cell[part] = [percentile(pooled, share) if pooled else None for share in (0.5, 0.99)]
    outs = [run.out_s.get(column, {}).get(SERVICES[kind], 0.0) for run, _ in found]
    cell["out_s"] = max(outs, default=0.0)
    return cell
