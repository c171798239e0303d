"""Changes under a running load: real specs, the real build, agent, Envoy; the agent is killed.

Each change is built as `meshc build` does it into the folder that the agent follows, and counts
once the agent says that Envoy has confirmed it and answers come from where the specs say.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.load.generator import LoadProcess, Tally
from tests.campaigns.load.scene import Scene
from tests.campaigns.report import Report

if TYPE_CHECKING:
    from tests.campaigns.load.generator import Target

_NETWORK = "127.0.43"
_LATEST_KILL_S = 0.8
_LATE_KILLS = 0.7
_BEGIN_LIMIT_S = 3.0
_SOON_S = 0.05
_LATEST_SECOND_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of it: the campaign's own numbers unless somebody says otherwise."""

    count: int
    requests_per_change: int = 3_400
    kill_every: int = 20
    overtake_every: int = 9
    """A second change follows while this one is on its way."""
    rate: float = 6_000.0


def run(*, count: int, seed: int) -> Report:
    """Make changes under load; 300 of them see more than a million requests."""
    return run_sized(Size(count=count), seed=seed)


def run_sized(size: Size, *, seed: int) -> Report:
    """Make changes under load, with other numbers."""
    report = Report(name="live", seed=seed)
    draw = random.Random(seed)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshc-live-")))
        scene = Scene(folder, stack, draw, network=_NETWORK)
        load = stack.enter_context(LoadProcess(size.rate))
        play = _Play(scene, load, size, draw)
        started = time.monotonic()
        try:
            play.change_all(report)
        except (AssertionError, OSError, http.client.HTTPException) as error:
            report.violated(f"the run ended early: {error}")
        play.conclude(report, time.monotonic() - started)
    return report


class _Play:
    """The scene, and a load on it that never pauses."""

    def __init__(self, scene: Scene, load: LoadProcess, size: Size, draw: random.Random) -> None:
        self._scene = scene
        self._load = load
        self._size = size
        self._draw = draw
        self._asked: list[Target] = []
        self._ask(scene.mesh.targets())
        load.reach(100)

    def change_all(self, report: Report) -> None:
        """Make all changes, one after the other."""
        scene = self._scene
        for number in range(1, self._size.count + 1):
            begun_with = self._load.tally().total
            self._change()
            if number % self._size.kill_every == 0:
                self._kill(report)
            elif number % self._size.overtake_every == 0:
                time.sleep(self._draw.random() * _LATEST_SECOND_S)
                self._change()
                report.count("  with a second one while the first was on its way")
            scene.agent.await_confirmed(scene.published)
            report.count("changes confirmed")
            scene.look(report)
            self._ask(scene.mesh.targets())
            self._load.reach(begun_with + self._size.requests_per_change)
            scene.empty_logs()

    def conclude(self, report: Report, seconds: float) -> None:
        """Write down what happened."""
        tally = self._load.tally()
        self._scene.conclude(report)
        _tell(report, tally)
        confirmed = report.counts.get("changes confirmed", 0)
        report.notes.append(
            f"{tally.total / seconds:,.0f} requests/s, {confirmed / seconds:.2f} changes/s"
        )
        least = self._size.count * self._size.requests_per_change
        if confirmed < self._size.count or tally.total < least:
            report.violated(f"too little was done: fewer than {least:,} requests, or changes")
        refusals = self._scene.agent.status().get("quarantine")
        if refusals:
            report.violated(f"refused: {refusals}")

    def _change(self) -> None:
        self._scene.change()
        # Listeners that go are asked no longer; those that come are asked once they are there.
        self._ask([one for one in self._scene.mesh.targets() if one in self._asked])
        self._scene.publish()

    def _kill(self, report: Report) -> None:
        """Kill the agent, at any moment or soon after it has begun to deliver; start it again."""
        agent = self._scene.agent
        is_late = self._draw.random() < _LATE_KILLS
        end = time.monotonic() + _BEGIN_LIMIT_S
        while is_late and not agent.has_begun() and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(self._draw.random() * (_SOON_S if is_late else _LATEST_KILL_S))
        agent.kill()
        report.count("times the agent was killed")
        report.count("  in the midst of a delivery", agent.has_begun())
        agent.start()

    def _ask(self, targets: list[Target]) -> None:
        self._load.ask_only(targets)
        self._asked = targets


def _tell(report: Report, tally: Tally) -> None:
    for kind, what in (
        ("kept", "requests answered on kept connections"),
        ("new", "requests answered on connections of their own"),
        ("slow", "requests answered that took 0.2 s"),
    ):
        report.count(what, tally.done[kind])
    report.count("requests answered in all", tally.total)
    report.count("requests failed", tally.failed)
    report.count("connections that Envoy closed with notice", tally.announced)
    for told in tally.told:
        report.violated(told)
    if tally.failed > len(tally.told):
        report.violated(f"and {tally.failed - len(tally.told)} more failed requests")
