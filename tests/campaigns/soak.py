"""One agent under one Envoy, with changes all the time: what it holds must not grow.

Between the changes it sees everything that an agent sees in a year: refusals, pauses, a source
that goes away, an Envoy that is started anew, scrapes.  Memory, descriptors and threads are looked
at before each change.  What is taken in the second half of a run, by its slope, must be less than
`MOST`; in the first half caches fill.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.load.held import WARM_UP, Held, by_tenths, growth_of, held_by
from tests.campaigns.load.host import LIMIT_S, PROGRAM, wait_until
from tests.campaigns.load.scene import Scene
from tests.campaigns.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = {
    "memory": (1024, "KiB", 1024),
    "descriptors": (0.5, "descriptors", 1),
    "threads": (0.5, "threads", 1),
}
"""What the second half of a run may add by its slope, however long it is, with the unit: one table
of Python's that doubles, and less than one of the others."""
_NETWORK = "127.0.47"
_PER_SECOND = 1.5
_LEAST_SHARE = 0.3
"""Of the changes that are delivered; the others are overtaken by the next one."""
_LEAST_PER_SECOND = 0.4
_SCRAPE_EVERY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many changes, how many of them a second at most, and after how many something else."""

    changes: int
    per_second: float = _PER_SECOND
    settle_every: int = 12
    """After how many changes the next one waits until everything is delivered and tidied up."""
    look_every: int = 12
    aside_every: int = 24
    least_per_second: float = 0.0
    """Deliveries without which the run does not count."""


def run(*, minutes: float, seed: int) -> Report:
    """Change things for so long, or longer where the machine is slow."""
    changes = max(1, round(minutes * 60 * _PER_SECOND))
    return soak(Size(changes=changes, least_per_second=_LEAST_PER_SECOND), seed=seed)


def soak(
    size: Size, *, seed: int, program: tuple[str, ...] = PROGRAM, flags: tuple[str, ...] = ()
) -> Report:
    """Make the changes, and judge what the agent held."""
    report = Report(name="soak", seed=seed)
    draw = random.Random(seed)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshc-soak-")))
        scene = Scene(
            folder, stack, draw, network=_NETWORK, drain_s=1, program=program, flags=flags
        )
        soaked = _Soak(scene, size, draw, report)
        started = time.monotonic()
        try:
            soaked.change_all()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            report.violated(f"the run ended early: {error}")
        soaked.conclude(time.monotonic() - started)
    return report


class _Soak:
    """The scene, and what was seen of its agent."""

    def __init__(self, scene: Scene, size: Size, draw: random.Random, report: Report) -> None:
        self._scene = scene
        self._size = size
        self._report = report
        self._samples: list[Held] = []
        asides: list[Callable[[], None]] = [
            *(self._refuse, self._pause, self._take_the_source_away, self._restart_envoy)
        ]
        draw.shuffle(asides)
        self._asides = itertools.cycle(asides)

    def change_all(self) -> None:
        """Make the changes at their pace, and whatever else happens in between."""
        scene = self._scene
        due = time.monotonic()
        for number in range(1, self._size.changes + 1):
            scene.change()
            scene.publish()
            self._report.count("changes published")
            due = max(due + 1 / self._size.per_second, time.monotonic())
            time.sleep(due - time.monotonic() if due > time.monotonic() else 0)
            if number % _SCRAPE_EVERY == 0:
                scene.agent.scrape()
                self._report.count("scrapes")
            if number % self._size.settle_every == 0:
                self._settle()
            if number % self._size.look_every == 0:
                self._settle()
                scene.look(self._report)
                scene.empty_logs()
            if number % self._size.aside_every == 0:
                self._settle()
                next(self._asides)()
                self._settle()
            self._samples.append(held_by(scene.agent.pid))

    def _settle(self) -> None:
        self._scene.agent.await_confirmed(self._scene.published)

    # --- what else happens --------------------------------------------------------------------

    def _refuse(self) -> None:
        """Publish a listener on a port that somebody else has; only the running Envoy sees it."""
        scene = self._scene
        before = scene.mesh.extra_at
        place = next(one for one in scene.places.extra if one != before)
        with socket.create_server(place):
            scene.mesh.extra_at = place
            scene.publish()
            wait_until(lambda: self._state() == "quarantined", "a refusal")
        scene.mesh.extra_at = before
        scene.publish()
        self._report.count("changes refused by Envoy and taken back")

    def _pause(self) -> None:
        for command in ("pause", "resume"):
            scene = self._scene
            subprocess.run(
                [
                    *(sys.executable, "-m", "meshc", "agent", command),
                    *("--target", scene.target, "--state", scene.agent.state),
                ],
                check=True,
                capture_output=True,
                timeout=LIMIT_S,
            )
        self._report.count("pauses")

    def _take_the_source_away(self) -> None:
        out = self._scene.out
        aside = out.with_name("aside")
        out.rename(aside)
        self._scene.agent.signal(signal.SIGHUP)
        wait_until(lambda: self._failures() > 0, "a source that is missed")
        aside.rename(out)
        self._scene.agent.signal(signal.SIGHUP)
        wait_until(lambda: self._failures() == 0, "a source that is there again")
        self._report.count("times the source was away")

    def _restart_envoy(self) -> None:
        self._scene.restart_envoy()
        self._report.count("times Envoy was started anew")

    def _state(self) -> str:
        return str(self._scene.agent.status().get("state"))

    def _failures(self) -> int:
        return int(self._scene.agent.status()["source"]["failures"])

    # --- what came of it ----------------------------------------------------------------------

    def conclude(self, seconds: float) -> None:
        """Judge what the agent held, and whether it had anything to do."""
        report, size = self._report, self._size
        said = [word["event"] for word in self._scene.agent.words()]
        delivered = said.count("delivered")
        report.count("deliveries", delivered)
        report.count("samples", len(self._samples))
        self._scene.conclude(report)
        rate = delivered / seconds
        report.notes.append(f"{rate:.2f} deliveries/s")
        if delivered < size.changes * _LEAST_SHARE or rate < size.least_per_second:
            report.violated(f"too little was done: {delivered} deliveries in {seconds:.0f} s")
        if len(self._samples) < size.changes:
            return
        for what, (most, unit, divisor) in MOST.items():
            values = [getattr(sample, what) / divisor for sample in self._samples]
            growth = growth_of(values)
            slope = growth * 1000 / ((1 - WARM_UP) * delivered)
            tenths = ", ".join(f"{value:,.0f}" for value in by_tenths(values))
            report.notes.append(
                f"{what} by tenths of the run: {tenths} {unit}, at most {max(values):,.0f}; "
                f"slope of the second half {slope:+,.1f} {unit} in 1,000 deliveries"
            )
            if growth > most:
                report.violated(f"{what}: {growth:+,.1f} {unit} in the second half, by their slope")
