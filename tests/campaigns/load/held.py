"""What a process holds, and whether that grows."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WARM_UP = 0.5
"""The share of a run that does not count: caches fill, and tables find their size."""
_MOST_GROUPS = 120


@dataclass(frozen=True, slots=True)
class Held:
    """What a process held at a moment; memory is its own, without what it has of files."""

    memory: int
    descriptors: int
    threads: int


def held_by(pid: int) -> Held:
    """Look into a process that runs."""
    place = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return Held(
        memory=int(status["RssAnon"].split()[0]) * 1024,
        descriptors=sum(1 for _ in (place / "fd").iterdir()),
        threads=int(status["Threads"]),
    )


def growth_of(values: Sequence[float]) -> float:
    """Return what a run adds after its warm-up, by a slope that single values do not bend.

    It is the median of the slopes between any two groups of values in a row, so what is held for
    the moment of a delivery counts as little as a single step does.
    """
    values = values[int(len(values) * WARM_UP) :]
    size = max(1, len(values) // _MOST_GROUPS)
    groups = [
        (start + (size - 1) / 2, statistics.median(values[start : start + size]))
        for start in range(0, len(values) - size + 1, size)
    ]
    slope = statistics.median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in _pairs(groups))
    return slope * (len(values) - 1)


def by_tenths(values: Sequence[float]) -> list[float]:
    """Return the medians of ten parts of a run, in which a slope and a step look different."""
    size = max(1, len(values) // 10)
    return [statistics.median(values[at : at + size]) for at in range(0, size * 10, size)]


def _pairs(
    groups: list[tuple[float, float]],
) -> itertools.combinations[tuple[tuple[float, float], tuple[float, float]]]:
    return itertools.combinations(groups, 2)
