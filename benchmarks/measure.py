"""Run programs and measure them from outside; figures beside their floors."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MESHC = str(Path(sys.executable).with_name("meshc"))
_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a program: wall time, and the most memory that it ever held."""

    seconds: float
    peak_mib: float
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: a figure beside its floor, their ratio, and what is allowed.

    ``limit`` is an absolute bound beside that of the ratio, ``max_excess`` one for ``excess``, by
    how much the figure lies above its floor; ``details`` says what else was seen
    and makes a figure fail by starting with ``!``.
    """

    name: str
    unit: str
    value: float
    floor_name: str = ""
    floor: float | None = None
    ratio: float | None = None
    max_ratio: float | None = None
    limit: float | None = None
    excess: float | None = None
    max_excess: float | None = None
    details: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether what was measured is what the figure is about."""
        return not self.details.startswith("!")

    @property
    def is_met(self) -> bool:
        """Whether all bounds are kept."""
        return (
            (self.max_ratio is None or (self.ratio is not None and self.ratio <= self.max_ratio))
            and (self.limit is None or self.value <= self.limit)
            and (
                self.max_excess is None
                or (self.excess is not None and self.excess <= self.max_excess)
            )
            and self.is_sound
        )


def run(*command: str | Path) -> Sample:
    """Run a program to its end; one that fails ends the benchmark with what it said."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MESHC_")}
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    if process.stdout is None:
        raise AssertionError(command)
    with process.stdout as stream:
        output = stream.read()
    # Not Popen.wait: this one also tells what the process used.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with exit code {process.returncode}:\n{output}")
    return Sample(seconds, usage.ru_maxrss / _KIB_PER_MIB, output)


def python(module: str, *arguments: str | Path) -> Sample:
    """Run a module of this folder as a program of its own."""
    return run(sys.executable, "-m", module, *arguments)


def pairs(
    count: int, figure: Callable[[], float], floor: Callable[[], float]
) -> list[tuple[float, float]]:
    """Measure figure and floor in turn: first A B, then B A, and so on.

    Whatever else the machine does then hits both, and neither always comes first.
    """
    found = []
    for turn in range(count):
        if turn % 2:
            below = floor()
            found.append((figure(), below))
        else:
            above = figure()
            found.append((above, floor()))
    return found


def compared(
    name: str,
    samples: Sequence[tuple[float, float]],
    *,
    unit: str,
    floor_name: str,
    max_ratio: float,
    limit: float | None = None,
    details: str = "",
) -> Figure:
    """Return the medians of figure, floor and ratio; the last is that of the pairs."""
    return Figure(
        name=name,
        unit=unit,
        value=statistics.median(value for value, _ in samples),
        floor_name=floor_name,
        floor=statistics.median(floor for _, floor in samples),
        ratio=statistics.median(value / floor for value, floor in samples),
        max_ratio=max_ratio,
        limit=limit,
        details=details,
    )
