"""Figures of the agent: how long a change takes beside a bare script, its memory, its idling."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.agent_host import AgentHost
from benchmarks.measure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.figures import Bench

_MOST_MORE_MS = 20.0
_MOST_MIB = 22.0
_MOST_IDLE_PERCENT = 0.1
_IDLE_S, _QUICK_IDLE_S = 30.0, 10.0
_SETTLE_S = 6.0
"""Longer than the agent's pause between two looks."""
_FLOOR = "a bare script: the same renames, synced to disk, and polls under the same Envoy"

Pairs = dict[str, list[tuple[float, float]]]


def agent_latency(bench: Bench) -> Iterator[Figure]:
    """From the manifest's rename at a folder to Envoy's word, and the same with local validation.

    The agent stands still while the bare script brings the same change under the same Envoy.
    """
    with AgentHost(bench.scratch, envoy="none") as host:
        for name, samples in _latencies(host, bench.repeats * 3).items():
            yield _figure(f"agent: {name}", samples, max_excess=_MOST_MORE_MS)
    with AgentHost(bench.scratch, envoy="auto") as host:
        for name, samples in _latencies(host, bench.repeats).items():
            yield _figure(f"agent, Envoy asked beforehand: {name}", samples)


def _latencies(host: AgentHost, count: int) -> Pairs:
    start = host.variant("a")
    found: Pairs = {}
    for there, back, changed in (
        ("endpoint changed", "endpoint changed", host.variant("endpoint", host=2)),
        ("route changed", "route changed", host.variant("route", timeout=4)),
        (
            "dependency added",
            "dependency removed, drain of 1 s",
            host.variant("new", dependencies=11),
        ),
    ):
        forth, home = host.steps(start, changed), host.steps(changed, start)
        host.deliver(changed)
        host.deliver(start)
        for _ in range(count):
            value = host.deliver(changed)
            with host.standing_still():
                floor_back, floor = host.deliver_bare(home), host.deliver_bare(forth)
            found.setdefault(there, []).append((value, floor))
            found.setdefault(back, []).append((host.deliver(start), floor_back))
            time.sleep(0.2)
    return found


def _figure(
    name: str, samples: list[tuple[float, float]], max_excess: float | None = None
) -> Figure:
    value = statistics.median(value for value, _ in samples)
    floor = statistics.median(floor for _, floor in samples)
    least = min(value for value, _ in samples), min(floor for _, floor in samples)
    return Figure(
        name=name,
        unit="ms",
        value=value,
        floor_name=_FLOOR,
        floor=floor,
        excess=statistics.median(value - floor for value, floor in samples),
        max_excess=max_excess,
        details=f"minima {least[0]:.0f} and {least[1]:.0f} ms of {len(samples)} pairs",
    )


def agent_memory(bench: Bench) -> Iterator[Figure]:
    """Resident memory after deliveries of all kinds, each judged by a local Envoy."""
    with AgentHost(bench.scratch, envoy="auto") as host:
        fresh = _resident_mib(host.pid)
        start, changed = host.variant("a"), host.variant("b", host=2, timeout=4, dependencies=9)
        count = bench.repeats * 4
        for _ in range(count):
            host.deliver(changed)
            host.deliver(start)
        yield Figure(
            name=f"agent: resident memory after {2 * count} deliveries",
            unit="MiB",
            value=_resident_mib(host.pid),
            limit=_MOST_MIB,
            details=f"{fresh:.1f} MiB before the first",
        )


def agent_idle(bench: Bench) -> Iterator[Figure]:
    """Time on a processor while nothing changes, with Envoy up."""
    seconds = _IDLE_S if bench.repeats >= _FULL_REPEATS else _QUICK_IDLE_S
    with AgentHost(bench.scratch, envoy="none") as host:
        time.sleep(_SETTLE_S)
        before, began = _processor_s(host.pid), time.monotonic()
        time.sleep(seconds)
        spent, passed = _processor_s(host.pid) - before, time.monotonic() - began
        yield Figure(
            name=f"agent: idle, share of a core over {seconds:.0f} s",
            unit="%",
            value=100 * spent / passed,
            limit=_MOST_IDLE_PERCENT,
        )


_FULL_REPEATS = 5
AGENT_FIGURES: tuple[Callable[[Bench], Iterator[Figure]], ...] = (
    agent_latency,
    agent_memory,
    agent_idle,
)
"""They bring their own mesh."""


def _resident_mib(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def _processor_s(process: int) -> float:
    """Time on a processor of all threads; where the kernel tells, finer than in ticks."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return sum(int((one / "schedstat").read_text().split()[0]) for one in tasks) / 1e9
    except (OSError, ValueError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
