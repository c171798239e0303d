"""What a run comes to: who failed, and whether that had to be."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tests.campaigns.outages.requests import Record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.campaigns.outages.events import Event
    from tests.campaigns.outages.fleet import Sent

EARLY_S = 10.0
OUT_WITHIN_S = 5.0
_BACK_S = 2.0
_MAY_BE_REPEATED = ("http get", "http download", "http2 get")
CONNECTIONS = ("tcp", "websocket")
"""Kinds that stay with the host that their connection went to."""
_HANDED_OVER = (
    "connection termination",
    "remote reset",
    "upstream request timeout",
    "response timeout",
    "stream was reset",
    "status 504",
    "no answer in time",
    "not over at the end",
)
"""In the words of Envoys: the request had reached a host that then said nothing about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When an event began and had begun, when it ended, and when all hosts were back."""

    began: float
    had_begun: float
    ended: float
    back: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One column of one kind of request in one run.

    ``needless`` failures need not have been: no application saw the request and no host had taken
    it, or it may be repeated and another host was there.  ``lost`` ones had to be: under way on
    what ended.  Latencies are in milliseconds, in order, of requests that were answered: before
    the event, in the ten seconds after it, and of those begun while it lasted, once it was out.
    """

    requests: int
    failed: int
    needless: int
    lost: int
    before: tuple[float, ...]
    early: tuple[float, ...]
    late: tuple[float, ...]
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One event at one size: the figures of all columns, and when the host got its last request.

    ``figures`` by column and kind, ``out_s`` by column and service.
    """

    event: str
    hosts: int
    clients: int
    is_kept: bool
    has_deliveries: bool
    settings: str
    figures: dict[str, dict[str, Figures]]
    out_s: dict[str, dict[str, float]]

    def line(self) -> str:
        """The run as JSON, on one line."""
        return json.dumps(asdict(self), sort_keys=True)

    def __str__(self) -> str:
        connections = "kept" if self.is_kept else "new"
        more = ", with deliveries" if self.has_deliveries else ""
        more += f", with {self.settings}" if self.settings else ""
        return f"{self.event}: {self.hosts} hosts, {self.clients} clients, {connections}{more}"


def read_records(place: Path) -> list[Record]:
    """Read what the clients wrote down."""
    return [Record(**json.loads(line)) for line in place.read_text().splitlines()]


def judge(
    records: Iterable[Record], seen: set[str], event: Event, times: Times
) -> dict[str, dict[str, Figures]]:
    """Judge all requests of a run."""
    groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.column, record.kind].append(record)
    found: dict[str, dict[str, Figures]] = {}
    for (column, kind), group in sorted(groups.items()):
        found.setdefault(column, {})[kind] = _figures(group, seen, event, times)
    return found


def _figures(group: list[Record], seen: set[str], event: Event, times: Times) -> Figures:
    failed = [one for one in group if one.error]
    needless = [one for one in failed if not _had_to(one, seen, event, times)]
    good = [one for one in group if not one.error]
    out = times.began + OUT_WITHIN_S
    return Figures(
        requests=len(group),
        failed=len(failed),
        needless=len(needless),
        lost=len(failed) - len(needless),
        before=_latencies(one for one in good if one.began + one.took < times.began),
        early=_latencies(one for one in good if 0 <= one.began - times.began < EARLY_S),
        late=_latencies(one for one in good if out <= one.began < times.ended),
        examples=tuple(
            f"{one.began - times.began:+.2f} s, {one.took:.2f} s: {one.error}"
            for one in needless[:3]
        ),
    )


def _had_to(one: Record, seen: set[str], event: Event, times: Times) -> bool:
    if one.began + one.took < times.began:
        return False  # all were well
    if event.is_everybody:
        # Nobody was there; what counts is that all are found again once they are.
        return one.began <= times.back + _BACK_S
    if one.kind in _MAY_BE_REPEATED:
        return one.is_begun
    is_cut = event.cuts and one.began <= times.had_begun and one.began + one.took >= times.began
    is_kept = not one.is_first and one.kind in CONNECTIONS  # to what ended
    is_handed_over = any(words in one.error for words in _HANDED_OVER)
    return one.id in seen or is_cut or is_kept or is_handed_over


def _latencies(records: Iterable[Record]) -> tuple[float, ...]:
    return tuple(sorted(round(one.took * 1000, 1) for one in records))


def out_after(
    sent: list[tuple[float, Sent]], addresses: set[str], *, began: float
) -> dict[str, dict[str, float]]:
    """Return for how long the bad hosts got requests, in the first ten seconds.

    In seconds from the first one after the event, by column and service; what is missing got none.
    """
    first: dict[tuple[str, str, str], float] = {}
    found: dict[str, dict[str, float]] = {}
    for (earlier, before), (moment, after) in itertools.pairwise(sent):
        for key, count in after.items():
            column, service, address = key
            is_new = count > before.get(key, 0)
            if address in addresses and is_new and began < moment <= began + EARLY_S:
                lasted = moment - first.setdefault(key, max(earlier, began))
                services = found.setdefault(column, {})
                services[service] = max(services.get(service, 0.0), round(lasted, 2))
    return found
