"""Somebody who may write into the target swaps its folders and files for links that lead out of it.

Files are put, removed and laid out all the time meanwhile.  Nothing outside may ever be written,
made, removed or changed in its mode; what cannot be done safely is refused.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from meshc.delivery.agent import swap
from meshc.delivery.errors import DeliveryError
from meshc.delivery.materialize import materialize
from tests.campaigns.report import Report
from tests.delivery.node_files import bundle, eds_cluster, endpoints, node_files, tcp_listener

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshc.artifact.store import NodeBundle

SETS_ONLY = ("sets laid out",)
ACTIONS = ("files put", "files put", "files removed", *SETS_ONLY)
"""What is done meanwhile, as often as it stands here."""
PLACES = ("services", "services/app", "services/app/eds.json", "lds.json", swap.STAGING)
"""What is swapped; a place outside has the same name and looks like it."""
_ROOT = Path(__file__).resolve().parents[2]
_PHASE_S = 3.0
_LIMIT_S = 30.0
_SHOWN = 20
_ENDS = ("done", "refused")
_LEAST = {"attempts": 50, "swaps": 1000, "done": 10, "refused": 10}
"""In each phase; fewer are no attack."""
_AT = ("127.0.48.1", 8080)

Trace = dict[str, tuple[int, int, int, int]]


def _set(*services: str) -> NodeBundle:
    return bundle(
        node_files(
            listeners=[tcp_listener("in", _AT, "app")],
            clusters=[eds_cluster(name, name) for name in services],
            shared={f"{name}/eds.json": endpoints("1", name, _AT) for name in services},
            version="-".join(services),
        )
    )


_SETS = (_set("app", "gone"), _set("app"))
"""Between them a service comes and goes, and its folder with it."""


def run(*, minutes: float, seed: int) -> Report:
    """Attack one place after the other, for so long in all."""
    phases = max(1, round(minutes * 60 / (_PHASE_S * len(PLACES))))
    return attack(phases=phases, phase_s=_PHASE_S, seed=seed)


def attack(
    *,
    phases: int,
    phase_s: float,
    seed: int,
    places: Sequence[str] = PLACES,
    actions: Sequence[str] = ACTIONS,
    stop_at: str = "",
) -> Report:
    """Attack every place that often, for so long each time; ends early once ``stop_at`` happens."""
    report = Report(name="links", seed=seed)
    for what in ("attempts", "done", "refused", "swaps", "escapes"):
        report.count(what, 0)
    draw = random.Random(seed)
    begun = time.monotonic()
    for _ in range(phases):
        for place in draw.sample(places, k=len(places)):
            if report.counts.get(stop_at):
                return report
            with tempfile.TemporaryDirectory(prefix="meshc-links-") as folder:
                _Attack(Path(folder), place, actions, draw, report).go_on_for(phase_s)
    report.notes += [
        f"{report.counts[what] / (time.monotonic() - begun):,.0f} {what}/s" for what in _LEAST
    ]
    least = _LEAST | {f"  {what}": 1 for what in actions}
    least |= {f'  {what} while "{place}" was swapped': 1 for place in places for what in _ENDS}
    for what, number in least.items():
        if report.counts.get(what, 0) < number * phases:
            report.violated(f"too little was done: {what.strip()}")
    return report


@dataclass(slots=True)
class _Attack:
    """One place that is swapped, and what is done meanwhile."""

    folder: Path
    place: str
    actions: Sequence[str]
    draw: random.Random
    report: Report
    target: Path = field(init=False)
    outside: Path = field(init=False)

    def __post_init__(self) -> None:
        self.target, self.outside = self.folder / "target", self.folder / "outside"
        materialize(_SETS[0], self.target)
        (self.target / swap.STAGING).mkdir()
        for folder in ("services/app", "services/gone", swap.STAGING):
            (self.outside / folder).mkdir(parents=True)
        for file in ("services/app/eds.json", "lds.json", f"{swap.STAGING}/next"):
            (self.outside / file).write_bytes(b"not yours")

    def go_on_for(self, seconds: float) -> None:
        before = trace_of(self.outside)
        with self._swapped():
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self._attempt()
                after = trace_of(self.outside)
                if after != before:
                    self._escaped(before, after)
                    before = after

    @contextlib.contextmanager
    def _swapped(self) -> Iterator[None]:
        command = [
            *("nice", sys.executable, "-m", "tests.campaigns.faults.swapper"),
            *(str(folder / self.place) for folder in (self.target, self.outside)),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT)
        assert process.stdout is not None
        try:
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("nobody swaps links")
            yield
            process.terminate()
            self.report.count("swaps", int(process.stdout.readline()))
        finally:
            process.kill()
            process.wait(_LIMIT_S)
            process.stdout.close()

    def _attempt(self) -> None:
        target, path = self.target, self.draw.choice(("services/app/eds.json", "lds.json"))
        what, chosen = self.draw.choice(self.actions), self.draw.choice(_SETS)
        self.report.count("attempts")
        try:
            match what:
                case "files put":
                    swap.put_file(target, path, chosen.files[path])
                case "files removed":
                    swap.remove_file(target, path)
                case _:
                    materialize(chosen, target)
        except DeliveryError:
            end = "refused"
        else:
            end = "done"
            self.report.count(f"  {what}")
        self.report.count(end)
        self.report.count(f'  {end} while "{self.place}" was swapped')

    def _escaped(self, before: Trace, after: Trace) -> None:
        self.report.count("escapes")
        changed = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
        if len(self.report.violations) < _SHOWN:
            self.report.violated(f'"{self.place}" was swapped, and outside changed: {changed}')


def trace_of(folder: Path) -> Trace:
    """What changes when anything in a folder is written, made, removed, renamed or re-moded."""
    found: Trace = {}
    for place in (folder, *folder.rglob("*")):
        status = place.lstat()
        found[place.relative_to(folder).as_posix()] = (
            *(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns),
        )
    return found
