"""What must hold, and of which cells it is known that it cannot."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tests.campaigns.outages.events import EVENTS
from tests.campaigns.outages.fleet import OURS, SERVICES
from tests.campaigns.outages.judge import CONNECTIONS, OUT_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.campaigns.outages.judge import Figures, Run

SLOWER = 1.2
"""How much slower the slowest hundredth may be once a bad host is out."""
FEW = 4
"""Clients of which latencies say how the mesh is, and not how busy the machine is."""
_ENOUGH = 500
"""Latencies of which a slowest hundredth can be told."""
_QUICK = ("http get", "http post", "http2 get", "http2 post", "grpc unary", "tcp", "websocket")
"""Kinds whose answers take as long as each other's."""

_ACCEPTS = (
    "The Envoy of the host accepts a TCP connection before it knows whether the application will. "
    "Then it can only close it, and to its caller that looks like an application that closes."
)
_LOOKS_SLOW = (
    "An application that hangs looks like one that is slow: its host goes on accepting for it. "
    "Requests wait for their timeout, 15 s unless set, and then the host is left alone. "
    "`healthChecks` notice it earlier."
)
_NO_PINGS = (
    "A connection of TCP says nothing of whether the other side is well, as long as its host "
    "acknowledges what is sent."
)
KNOWN: dict[tuple[str, str], str] = {
    **{
        (event, "tcp"): _ACCEPTS
        for event in ("application-killed", "application-stopped", "application-restarts")
    },
    **{("application-hangs", kind): _LOOKS_SLOW for kind in SERVICES},
    ("envoy-hangs", "tcp"): _NO_PINGS,
}
"""Event and kind of request → why requests fail needlessly there, or a host stays in."""


def percentile(latencies: Sequence[float], share: float) -> float:
    """Return a percentile of latencies in order; 0 of none."""
    if not latencies:
        return 0.0
    return latencies[min(int(len(latencies) * share), len(latencies) - 1)]


def of_run(run: Run, *, out_within_s: float = OUT_WITHIN_S) -> list[str]:
    """Return where ours misses a bar in one run."""
    asked = run.figures.get(OURS, {})
    found = [f"{run}: {kind}: nothing was asked" for kind, one in asked.items() if not one.requests]
    if run.settings or not asked:
        return found if asked else [f"{run}: nothing was asked"]
    for kind, figures in asked.items():
        if figures.needless and (run.event, kind) not in KNOWN:
            found.append(f"{run}: {kind}: {figures.needless} needlessly: {figures.examples}")
        if EVENTS[run.event].must_be_out and (run.event, kind) not in KNOWN:
            found += _waited(run, kind, figures, out_within_s)
    known = {SERVICES[kind] for kind in SERVICES if (run.event, kind) in KNOWN}
    for service, out in run.out_s.get(OURS, {}).items():
        if EVENTS[run.event].must_be_out and out > out_within_s and service not in known:
            found.append(f"{run}: {service}: the host still got requests after {out} s")
    return found


def _waited(run: Run, kind: str, figures: Figures, within_s: float) -> Iterator[str]:
    """A connection stays with its host; a request need not wait for one that says nothing."""
    longest = max(figures.early, default=0.0)
    if kind not in CONNECTIONS and longest > within_s * 1000:
        yield f"{run}: {kind}: somebody waited {longest} ms"


def of_all(runs: Iterable[Run]) -> list[str]:
    """Return what is slower once a bad host is out, and where another column is better."""
    counted = [run for run in runs if not run.settings]
    return [*_slower(counted), *_better_elsewhere(counted)]


def _slower(runs: Iterable[Run]) -> Iterator[str]:
    """Compare all quick kinds together: of one alone there are too few for a slowest hundredth."""
    healthy: list[float] = []
    late: defaultdict[str, list[float]] = defaultdict(list)
    for run in (run for run in runs if run.clients <= FEW):
        for kind, figures in run.figures.get(OURS, {}).items():
            if kind not in _QUICK:
                continue
            healthy += figures.before
            if EVENTS[run.event].must_be_out and (run.event, kind) not in KNOWN:
                late[run.event] += figures.late
    for event, latencies in late.items():
        if min(len(healthy), len(latencies)) < _ENOUGH:
            continue
        before, after = (percentile(sorted(one), 0.99) for one in (healthy, latencies))
        if after > before * SLOWER:
            yield f"{event}: p99 is {after} ms, {before} ms while all are well"


def _better_elsewhere(runs: Iterable[Run]) -> Iterator[str]:
    needless: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for run in runs:
        for column, kinds in run.figures.items():
            for kind, figures in kinds.items():
                needless[run.event, kind][column] += figures.needless
    for (event, kind), counts in needless.items():
        ours = counts[OURS]
        for column, count in counts.items():
            if count < ours and (event, kind) not in KNOWN:
                yield f"{event}: {kind}: {ours} failed needlessly, with {column!r} {count}"
