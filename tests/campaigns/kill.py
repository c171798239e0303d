"""kill -9 at every system call of a delivery, then at random moments; restart and look.

Each time: no file is torn, an Envoy could start with what lies there, the one that runs serves
nothing that dangles; and the agent, started again, brings things to the end they must have.
"""

from __future__ import annotations

import queue
import random
import threading
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.campaigns.faults import tracing
from tests.campaigns.faults.real import kill_under_real_envoy
from tests.campaigns.faults.rig import Rig
from tests.campaigns.faults.scenarios import SCENARIOS, Scenario, Stage
from tests.campaigns.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.campaigns.faults.tracing import Point

CHANGING = (
    *("write", "pwrite64", "ftruncate", "fsync", "fchmod", "chmod", "rename", "renameat"),
    *("renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "flock"),
)
"""Calls that change what lies on disk, or a lock; a kill anywhere is a kill before one of them."""
ALL = (
    *CHANGING,
    *("openat", "close", "read", "newfstatat", "fstat", "lseek", "getdents64", "ioctl", "readlink"),
    *("socket", "connect", "sendto", "recvfrom", "poll", "fcntl", "clone3", "futex", "mmap"),
    *("clock_nanosleep", "gettid", "getpid", "geteuid", "exit_group", "exit"),
)
_RIGS = 2
_RANDOM_SHARE = 0.5
_MOST_IN_A_ROW = 3
_REAL_EVERY = 50
_MOST_REAL = 200
_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One kill and what follows; without a point it comes at a random moment."""

    scenario: Scenario
    seed: int
    point: Point | None = None


@dataclass(slots=True, kw_only=True)
class _Shared:
    """What the threads of a campaign have in common."""

    report: Report
    attempts: queue.SimpleQueue[Attempt]
    wanted: int
    mutant: str
    stop_at: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    kills: int = 0

    def note(self, problems: Sequence[str], what: str, where: str) -> None:
        """Count problems of a kind, and tell the first ones."""
        with self.lock:
            self.report.count(what, len(problems))
            if len(self.report.violations) < _SHOWN:
                for problem in problems:
                    self.report.violated(f"{what}: {where}: {problem}")

    def count(self, what: str) -> None:
        with self.lock:
            self.report.count(what)

    @property
    def is_enough(self) -> bool:
        return self.kills >= self.wanted or self.report.counts.get(self.stop_at, 0) > 0


def run(*, count: int, seed: int) -> Report:
    """Kill that often: at system calls first, then at random, a few of them with a real Envoy."""
    real = min(_MOST_REAL, max(1, count // _REAL_EVERY))
    report = kill_played(count=count - real, seed=seed)
    kill_under_real_envoy(report, count=real, seed=seed)
    return report


def kill_played(
    *,
    count: int,
    seed: int,
    mutant: str = "",
    scenarios: Sequence[Scenario] = SCENARIOS,
    stop_at: str = "",
) -> Report:
    """Kill under a played Envoy; ends early once something of the kind ``stop_at`` was found."""
    report = Report(name="kill", seed=seed)
    if reason := tracing.require():
        report.notes.append(f"nothing was done: {reason}")
        return report
    shared = _Shared(
        report=report,
        attempts=queue.SimpleQueue(),
        wanted=count,
        mutant=mutant,
        stop_at=stop_at,
    )
    for what in ("kills at a system call", "kills at a random moment", "torn", "mixed"):
        report.count(what, 0)
    report.count("not converged", 0)
    with Rig() as first:
        stage = Stage(first)
        for attempt in _attempts(stage, scenarios, count, random.Random(seed), report):
            shared.attempts.put(attempt)
        threads = [threading.Thread(target=_work, args=(shared, seed)) for _ in range(_RIGS - 1)]
        for thread in threads:
            thread.start()
        _work_on(stage, shared)
        for thread in threads:
            thread.join()
    if shared.kills < count and not report.violations:
        report.violated(f"only {shared.kills} of {count} kills came to pass")
    return report


def _attempts(
    stage: Stage, scenarios: Sequence[Scenario], count: int, draw: random.Random, report: Report
) -> Iterator[Attempt]:
    """All calls that change something, then all others, as far as the count goes; rest random.

    More are made than needed, because a random moment may come after the end.
    """
    changing: list[Attempt] = []
    others: list[Attempt] = []
    for scenario in scenarios:
        points = stage.points(scenario, ALL)
        report.count(f'system calls of "{scenario.name}"', len(points))
        for point in points:
            one = Attempt(scenario=scenario, point=point, seed=draw.randrange(1 << 32))
            (changing if point.call in CHANGING else others).append(one)
    random_ones = int(count * _RANDOM_SHARE)
    first = [one for one in changing if one.scenario is scenarios[0]]
    rest = [one for one in changing if one.scenario is not scenarios[0]]
    if len(first) + len(rest) > count - random_ones:
        draw.shuffle(rest)
    draw.shuffle(others)
    chosen = (first + rest + others)[: max(0, count - random_ones)]
    report.notes.append(
        f"all {len(first)} calls of the first scenario that change something, then "
        f"{max(0, len(chosen) - len(first))} of {len(rest) + len(others)} others, then "
        "random moments"
    )
    yield from chosen
    for _ in range(4 * (count - len(chosen)) + 100):
        yield Attempt(scenario=draw.choice(scenarios), seed=draw.randrange(1 << 32))


def _work(shared: _Shared, seed: int) -> None:
    try:
        with Rig() as rig:
            _work_on(Stage(rig), shared)
    except Exception:  # noqa: BLE001, a thread must not end unheard
        shared.note([traceback.format_exc()], "the campaign itself failed", f"seed {seed}")


def _work_on(stage: Stage, shared: _Shared) -> None:
    while not shared.is_enough:
        try:
            attempt = shared.attempts.get_nowait()
        except queue.Empty:
            return
        _attempt(stage, shared, attempt)


def _attempt(stage: Stage, shared: _Shared, attempt: Attempt) -> None:
    """Kill once, or a few times in a row, then let the agent go on and judge the end."""
    scenario, draw = attempt.scenario, random.Random(attempt.seed)
    where = f"{scenario.name}, {attempt.point or 'random moment'}, seed {attempt.seed}"
    usual = 0.0 if attempt.point else stage.seconds(scenario)
    stage.begin(scenario, draw)
    for number in range(1 if attempt.point else draw.randint(1, _MOST_IN_A_ROW)):
        if attempt.point and not number:
            effect = f"signal=KILL:when={attempt.point.n}"
            ran = stage.run(scenario, point=attempt.point, effect=effect, mutant=shared.mutant)
            kind, missed = "kills at a system call", "points that were not reached"
        else:
            moment = draw.uniform(0.0, 1.1 * usual)
            ran = stage.run(scenario, kill_after=moment, mutant=shared.mutant)
            kind, missed = "kills at a random moment", "random moments after the end"
        if ran.verdict == "TRACEBACK":
            shared.note([str(ran.result["summary"])], "tracebacks", where)
        if not ran.is_killed:
            shared.count(missed)
            break
        shared.count(kind)
        with shared.lock:
            shared.kills += 1
        shared.note(stage.torn(scenario), "torn", where)
        shared.note(stage.mixed(scenario), "mixed", where)
    ran = stage.run(scenario, mutant=shared.mutant)
    problems = [*stage.after(scenario, ran)] or [*stage.conclude(scenario)]
    shared.note(["; ".join(problems)] if problems else [], "not converged", where)
