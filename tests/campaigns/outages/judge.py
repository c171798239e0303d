"""What a run comes to: who failed, and whether that had to be."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tests.campaigns.outages.fleet import OURS
from tests.campaigns.outages.requests import Record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.campaigns.outages.events import Event
    from tests.campaigns.outages.fleet import Sent

EARLY_S = 10.0
OUT_WITHIN_S = 5.0
_MAY_BE_REPEATED = ("http get", "http2 get")
_CONNECTIONS = ("tcp", "websocket")
_HANDED_OVER = (
    "connection termination",
    "remote reset",
    "upstream request timeout",
    "response timeout",
    "stream was reset",
    "no answer in time",
    "not over at the end",
)
"""In the words of Envoys: the request had reached a host that then said nothing about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One column of one kind of request in one run.

    ``needless`` failures need not have been: no application saw the request and no host had taken
    it, or it may be repeated and another host was there.  ``lost`` ones had to be: under way on
    what ended.  Latencies are in milliseconds, of requests that were answered: before the event,
    in the ten seconds after it, and later; in the last, of those begun once the host was out.
    """

    requests: int
    failed: int
    needless: int
    lost: int
    before: tuple[float, float]
    early: tuple[float, float]
    late: tuple[float, float]
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One event at one size: the figures of all columns, and when the host got its last request."""

    event: str
    hosts: int
    clients: int
    is_kept: bool
    has_deliveries: bool
    figures: dict[str, dict[str, Figures]]
    out_s: dict[str, dict[str, float]]

    def line(self) -> str:
        """The run as JSON, on one line."""
        return json.dumps(asdict(self), sort_keys=True)


def read_records(place: Path) -> list[Record]:
    return [Record(**json.loads(line)) for line in place.read_text().splitlines()]


def judge(
    records: Iterable[Record], seen: set[str], event: Event, *, began: float, ended: float
) -> dict[str, dict[str, Figures]]:
    """Judge all requests of a run whose event lasted from ``began`` to ``ended``."""
    groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.column, record.kind].append(record)
    found: dict[str, dict[str, Figures]] = {}
    for (column, kind), group in sorted(groups.items()):
        found.setdefault(column, {})[kind] = _figures(group, seen, event, began, ended)
    return found


def _figures(
    group: list[Record], seen: set[str], event: Event, began: float, ended: float
) -> Figures:
    failed = [one for one in group if one.error and one.began + one.took > began - 1]
    needless = [one for one in failed if _need_not_have(one, seen, event, began, ended)]
    good = [one for one in group if not one.error]
    return Figures(
        requests=len(group),
        failed=len(failed),
        needless=len(needless),
        lost=len(failed) - len(needless),
        before=_latency(one for one in good if one.began + one.took < began),
        early=_latency(one for one in good if began <= one.began < began + EARLY_S),
        late=_latency(one for one in good if began + OUT_WITHIN_S <= one.began < ended),
        examples=tuple(
            f"{one.began - began:+.2f} s, {one.took:.2f} s: {one.error}" for one in needless[:3]
        ),
    )


def _need_not_have(one: Record, seen: set[str], event: Event, began: float, ended: float) -> bool:
    if event.is_everybody:
        # Nobody was there; what counts is that all are found again once they are.
        return one.began > ended + OUT_WITHIN_S
    if one.kind in _MAY_BE_REPEATED:
        return True
    if one.id in seen:
        return False
    if not one.is_first and one.kind.partition(" ")[0] in _CONNECTIONS:
        return False  # a connection that was there before, to what ended
    if event.cuts and one.began <= began <= one.began + one.took:
        return False  # under way when it happened
    return not any(words in one.error for words in _HANDED_OVER)


def _latency(records: Iterable[Record]) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds, zeros of nothing."""
    took = sorted(one.took for one in records)
    if not took:
        return 0.0, 0.0
    return tuple(  # type: ignore[return-value]
        round(took[min(int(len(took) * share), len(took) - 1)] * 1000, 1) for share in (0.5, 0.99)
    )


def out_after(
    sent: list[tuple[float, Sent]], addresses: set[str], *, began: float
) -> dict[str, dict[str, float]]:
    """Return when the bad hosts got their last request, in the first ten seconds.

    By column and service; what is missing got none.
    """
    found: dict[str, dict[str, float]] = {}
    for (_, before), (moment, after) in itertools.pairwise(sent):
        for (column, service, address), count in after.items():
            is_new = count > before.get((column, service, address), 0)
            if address in addresses and is_new and began < moment <= began + EARLY_S:
                found.setdefault(column, {})[service] = round(moment - began, 2)
    return found


def violations(run: Run, event: Event, known: dict[tuple[str, str], str]) -> list[str]:
    """Return where ours misses a bar; ``known`` says of which cells that is known, and why."""
    found = []
    where = f"{run.event}, {run.hosts} hosts, {run.clients} clients"
    where += f", {'kept' if run.is_kept else 'new'}{', deliveries' if run.has_deliveries else ''}"
    for kind, figures in run.figures[OURS].items():
        if not figures.requests:
            found.append(f"{where}: {kind}: nothing was asked")
        if figures.needless and (run.event, kind) not in known:
            found.append(
                f"{where}: {kind}: {figures.needless} failed needlessly: {figures.examples}"
            )
    for service, out in run.out_s.get(OURS, {}).items() if event.must_be_out else ():
        if out > OUT_WITHIN_S and (run.event, service) not in known:
            found.append(f"{where}: {service}: the host still got requests after {out} s")
    return found


def as_data(run: Run) -> dict[str, Any]:
    return asdict(run)
