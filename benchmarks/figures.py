"""Each figure of the table, measured on the reference mesh with the `meshc` program itself."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.measure import MESHC, Figure, compared, pairs, python, run
from benchmarks.reference_mesh import service_name, write_mesh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.measure import Sample

_FLOORS = "benchmarks.floors"
_TENTH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where to measure, how much, and how often."""

    scratch: Path
    services: int
    repeats: int
    is_quick: bool = False

    @property
    def specs(self) -> Path:
        """The reference mesh."""
        return self.scratch / "specs"

    @property
    def small(self) -> Path:
        """A mesh with a tenth of the services."""
        return self.scratch / "specs-tenth"

    def prepare(self) -> None:
        """Write both meshes, and build each once."""
        for root, count in ((self.specs, self.services), (self.small, self.services // _TENTH)):
            write_mesh(root, services=count)
            self.build(root, self.kept(root), self.cache(root))

    def kept(self, specs: Path) -> Path:
        """The output of a mesh that is built once and then changed in place."""
        return specs.with_name(f"out-of-{specs.name}")

    def cache(self, specs: Path) -> Path:
        """The build cache that belongs to it."""
        return specs.with_name(f"cache-of-{specs.name}")

    def build(self, specs: Path, out: Path, cache: Path, *more: str) -> Sample:
        """Run ``meshc build`` without Envoy."""
        places = ("--specs", specs, "--out", out, "--cache", cache)
        return run(MESHC, "build", "--quiet", *places, "--envoy", "none", *more)

    def build_anew(self, specs: Path) -> Sample:
        """Build into a folder that is not there, with a cache that is not there."""
        out, cache = self.scratch / "new-out", self.scratch / "new-cache"
        self.clear()
        sample = self.build(specs, out, cache)
        self.clear()
        return sample

    def create_anew(self) -> float:
        """Create the same files with a bare loop; returns the seconds of the loop alone."""
        target = self.scratch / "new-out"
        self.clear()
        sample = python(_FLOORS, "create", self.kept(self.specs), target)
        self.clear()
        return float(sample.output)

    def clear(self) -> None:
        """Remove what is to be made anew, and wait until the disk has nothing left to do."""
        for name in ("new-out", "new-cache"):
            shutil.rmtree(self.scratch / name, ignore_errors=True)
        os.sync()

    def parse(self) -> float:
        """Import and parse the specs of the reference mesh."""
        return python(_FLOORS, "parse", self.specs).seconds


def full_build(bench: Bench) -> Iterator[Figure]:
    """Everything from nothing: time beside a bare loop, and memory."""
    peaks: list[float] = []

    def build() -> float:
        sample = bench.build_anew(bench.specs)
        peaks.append(sample.peak_mib)
        return sample.seconds

    yield compared(
        "full build, empty cache, schema and rules checked",
        pairs(bench.repeats, build, bench.create_anew),
        unit="s",
        floor_name="bare loop creating the same files",
        max_ratio=2.0,
    )
    yield Figure(name="its peak memory", unit="MiB", value=statistics.median(peaks), limit=250.0)


def nothing_changed(bench: Bench) -> Iterator[Figure]:
    """The same build again."""
    out = bench.kept(bench.specs)
    before = _state(out)

    def build() -> float:
        return bench.build(bench.specs, out, bench.cache(bench.specs)).seconds

    samples = pairs(bench.repeats, build, bench.parse)
    touched = _touched(before, _state(out))
    yield compared(
        "nothing changed",
        samples,
        unit="s",
        floor_name="import and parse the specs",
        max_ratio=1.5,
        limit=1.0,
        details="no file touched" if not touched else f"!touched {sorted(touched)[:3]}",
    )


def one_host_changed(bench: Bench) -> Iterator[Figure]:
    """Another port for one host of one service."""
    out = bench.kept(bench.specs)
    name = service_name(bench.services // 2)
    spec = bench.specs / f"{name}.yaml"
    text = spec.read_text()
    wrong: set[str] = set()
    count = 0

    def build() -> float:
        nonlocal count
        count += 1
        before = _state(out)
        spec.write_text(text.replace("port: 8080", f"port: {8080 + count}", 1))
        seconds = bench.build(bench.specs, out, bench.cache(bench.specs)).seconds
        touched = _touched(before, _state(out))
        expected = {f"services/{name}/{file}.json" for file in ("eds", "instances")}
        expected.add("manifest.json")
        own = {path for path in touched if path.startswith(f"nodes/{name}-0/")}
        wrong.update((touched - own) ^ expected)
        wrong.update({"nothing of the host itself"} if not own else ())
        return seconds

    samples = pairs(bench.repeats, build, bench.parse)
    yield compared(
        "one host of one service changed",
        samples,
        unit="s",
        floor_name="import and parse the specs",
        max_ratio=1.5,
        limit=1.0,
        details="its endpoints and instances, its node and the manifest touched, nothing else"
        if not wrong
        else f"!wrongly touched or not: {sorted(wrong)[:3]}",
    )


def envoy_gate(bench: Bench) -> Iterator[Figure]:
    """The gate beside one run of Envoy, on a tenth: beyond that, one run gets ever slower.

    Envoy compares each listener with all before it, so the gate's batches would win the more
    the larger the mesh is: 8 s against 32 s for 25,000 resources.
    """
    out = bench.kept(bench.small)
    count = python(_FLOORS, "gate", out).output.split()[1]
    yield compared(
        f"gate of the real Envoy, {int(count):,} distinct resources",
        pairs(
            bench.repeats,
            lambda: float(python(_FLOORS, "gate", out).output.split()[0]),
            lambda: float(python(_FLOORS, "envoy", out).output.split()[0]),
        ),
        unit="s",
        floor_name="one Envoy run over the same",
        max_ratio=1.3,
    )


def ten_times(bench: Bench) -> Iterator[Figure]:
    """Ten times the nodes beside a tenth of them."""
    peaks: list[tuple[float, float]] = []

    def measure(specs: Path) -> Sample:
        return bench.build_anew(specs)

    samples = []
    for _ in range(bench.repeats):
        large, small = measure(bench.specs), measure(bench.small)
        samples.append((large.seconds, small.seconds))
        peaks.append((large.peak_mib, small.peak_mib))
    for name, unit, values in (("time", "s", samples), ("memory", "MiB", peaks)):
        yield compared(
            f"ten times the nodes, {name}",
            values,
            unit=unit,
            floor_name="a tenth of the mesh",
            max_ratio=11.0,
        )


def start_up(bench: Bench) -> Iterator[Figure]:
    """What somebody waits for who only asks something."""
    count = bench.repeats * 3
    yield compared(
        "meshc --version",
        pairs(
            count,
            lambda: run(MESHC, "--version").seconds * 1000,
            lambda: run(sys.executable, "-c", "pass").seconds * 1000,
        ),
        unit="ms",
        floor_name="python -c pass",
        max_ratio=2.0,
    )
    times = [run(MESHC, "--help").seconds * 1000 for _ in range(count)]
    yield Figure(name="meshc --help", unit="ms", value=statistics.median(times), limit=250.0)


FIGURES: tuple[Callable[[Bench], Iterator[Figure]], ...] = (
    start_up,
    nothing_changed,
    one_host_changed,
    envoy_gate,
    full_build,
    ten_times,
)
"""In this order, so that the disk is idle for the short ones."""


def _state(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file."""
    state = {}
    for folder, _, names in os.walk(out):
        for name in names:
            path = f"{folder}/{name}"
            status = os.stat(path)  # noqa: PTH116 - 33,000 of them
            state[os.path.relpath(path, out)] = (status.st_ino, status.st_mtime_ns)
    return state


def _touched(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> set[str]:
    return {path for path, _ in before.items() ^ after.items()}
