"""Kills of the agent under a real Envoy, while requests run on kept and on new connections."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from meshc.validate.find_envoy import find_envoy
from tests.campaigns.faults import judge, tracing
from tests.campaigns.faults.rig import Rig
from tests.campaigns.faults.sets import Files, node_set, publish
from tests.campaigns.faults.tracing import Point
from tests.delivery.live import Load, free_ports, running_envoy, upstream

if TYPE_CHECKING:
    from tests.campaigns.report import Report

HOST = "127.0.41.3"
_CALLS = (
    *("rename", "renameat", "fsync", "write", "unlink", "unlinkat", "connect", "sendto"),
    *("mkdir", "mkdirat"),
)
_REQUESTS_BETWEEN = 20
_MOST_TIDYING = 3


class _Sets:
    """Two sets between which a delivery goes to and fro, on ports of its own."""

    def __init__(self, x: tuple[str, int], y: tuple[str, int]) -> None:
        ports = free_ports(HOST, 4)
        self.admin = (HOST, ports[0])
        self.always = (HOST, ports[1])
        both: Any = {"host": HOST, "admin": self.admin}
        self.first: Files = node_set(
            "first",
            listeners={"a": ports[1], "b": ports[2]},
            clusters=("a", "b"),
            routed={},
            servers={"a": x, "b": y},
            **both,
        )
        self.second: Files = node_set(
            "second",
            listeners={"a": ports[1], "c": ports[3]},
            clusters=("a2", "c"),
            routed={"a": "a2"},
            servers={"a2": y, "c": x},
            **both,
        )


def kill_under_real_envoy(report: Report, *, count: int, seed: int) -> None:
    """Kill deliveries between two sets, to and fro; what one Envoy serves must never suffer.

    The listener that requests go to stays; its route goes to another cluster with each delivery,
    another listener goes and a third comes.
    """
    reason = tracing.require()
    if not reason and find_envoy("auto") is None:
        if os.environ.get("CI"):
            report.violated("there is no Envoy program; CI must have one")
        reason = "there is no Envoy program"
    if reason:
        report.notes.append(f"no kill with a real Envoy: {reason}")
        return
    draw = random.Random(seed)
    answers: Counter[str] = Counter()
    with Rig() as rig, upstream(HOST, "x") as x, upstream(HOST, "y") as y:
        sets = _Sets(x, y)
        for name, files in (("first", sets.first), ("second", sets.second)):
            publish(files, rig.root / name)
        settings: Any = {"admin": f"http://{sets.admin[0]}:{sets.admin[1]}", "notice": 1.0}
        rig.run(rig.root / "first", **settings)
        with running_envoy(rig.target, sets.admin), Load(sets.always, answers) as load:
            whole = rig.run(rig.root / "second", is_counted=True, **settings)
            if whole.verdict != "DONE":
                report.violated(f"a delivery without a fault ended with {whole.result}")
                return
            points = [
                Point(thread, call, n)
                for thread, calls in sorted(whole.calls.items())
                for call in _CALLS
                for n in range(1, calls.counts[call] + 1)
            ]
            goal, before = (sets.first, "first"), (sets.second, "second")
            for _ in range(count):
                _kill_once(
                    report, rig, draw.choice(points), goal=goal, before=before[0], settings=settings
                )
                load.more(_REQUESTS_BETWEEN)
                goal, before = before, goal
    report.count("requests served by the real Envoy meanwhile", answers["x"] + answers["y"])
    for answer, number in answers.items():
        if answer not in {"x", "y"}:
            report.violated(f"{number} requests under the real Envoy: {answer}")


def _kill_once(
    report: Report,
    rig: Rig,
    point: Point,
    *,
    goal: tuple[Files, str],
    before: Files,
    settings: Any,
) -> None:
    files, name = goal
    effect = f"signal=KILL:when={point.n}"
    ran = rig.run(rig.root / name, point=point, effect=effect, **settings)
    where = f"real Envoy, to the {name} set, {point}"
    report.count("kills under a real Envoy" if ran.is_killed else "points that were not reached")
    there = judge.files_in(rig.target)
    for kind, problems in (
        ("torn", judge.torn(there, files, before)),
        ("mixed", judge.dangling(there)),
    ):
        report.count(kind, len(problems))
        for problem in problems:
            report.violated(f"{kind}: {where}: {problem}")
    again = rig.run(rig.root / name, **settings)
    for _ in range(_MOST_TIDYING):
        # An agent that ends what was begun does not wait for listeners to drain while its source
        # may have news; what they may use is left to the next delivery.
        if again.verdict != "DONE" or judge.files_in(rig.target) == files:
            break
        if problems := judge.lacks(judge.files_in(rig.target), files):
            report.violated(f"not converged: {where}: {problems}")
        report.count("deliveries that left clusters to the next")
        again = rig.run(rig.root / name, **settings)
    ledger = judge.read_ledger(rig.state) or {}
    if (
        again.verdict != "DONE"
        or judge.files_in(rig.target) != files
        or ledger.get("intent") is not None
        or [*judge.leftovers(rig.target, rig.state)]
    ):
        report.count("not converged")
        report.violated(f"not converged: {where}: {again.result}")
