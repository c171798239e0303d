"""A disk that refuses: an error at every write, sync, open and rename of a delivery.

Each time: no file is torn, an Envoy could start with what lies there, what is said to be delivered
is on disk, and a refusal is told and not swallowed.  When the fault is gone the next run heals.
"""

from __future__ import annotations

import queue
import random
import threading
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.campaigns.faults import judge, tracing
from tests.campaigns.faults.full_disk import fill_real_disks
from tests.campaigns.faults.rig import Rig
from tests.campaigns.faults.scenarios import BY_NAME, Scenario, Stage
from tests.campaigns.faults.sets import NEW, OLD, SWAPPED, generation_name
from tests.campaigns.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.campaigns.faults.rig import Ran
    from tests.campaigns.faults.tracing import Point

ERRORS = {
    "write": ("ENOSPC", "EIO", "EDQUOT", "EINTR"),
    "openat": ("ENOSPC", "EIO", "EROFS", "EDQUOT", "EMFILE", "EINTR"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "fchmod": ("EIO", "EROFS", "EPERM"),
    "chmod": ("EIO", "EROFS", "EPERM"),
    "rename": ("ENOSPC", "EIO", "EROFS", "EDQUOT"),
    "renameat": ("ENOSPC", "EIO", "EROFS", "EDQUOT"),
    "mkdir": ("ENOSPC", "EIO", "EROFS", "EDQUOT"),
    "mkdirat": ("ENOSPC", "EIO", "EROFS", "EDQUOT"),
    "unlink": ("EIO", "EROFS"),
    "unlinkat": ("EIO", "EROFS"),
    "flock": ("EINTR", "ENOLCK"),
    "ftruncate": ("EIO", "EROFS", "EINTR"),
    "pwrite64": ("ENOSPC", "EIO", "EINTR"),
}
"""Call → what a disk may answer to it."""
SCENES = tuple(
    BY_NAME[name]
    for name in (
        *("a change", "a refusal", "ending what was begun", "taking back, Envoy is down"),
        *("prepare", "a first delivery", "unconfirmed", "addresses swapped"),
    )
)
_RIGS = 2
_SHOWN = 40
_SETS = {generation_name(files): files for files in (OLD, NEW, SWAPPED)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error at a call of a thread; ``lasts``: at every later one of this kind too."""

    scenario: Scenario
    point: Point
    error: str
    lasts: bool

    def __str__(self) -> str:
        lasts = " and all later ones" if self.lasts else ""
        return f"{self.scenario.name}: {self.error} at {self.point}{lasts}"

    @property
    def effect(self) -> str:
        """What strace is told."""
        return f"error={self.error}:when={self.point.n}{'+' if self.lasts else ''}"


@dataclass(slots=True, kw_only=True)
class _Shared:
    report: Report
    faults: queue.SimpleQueue[Fault]
    mutant: str
    stop_at: str
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, problems: Sequence[str], what: str, fault: object) -> None:
        with self.lock:
            self.report.count(what, len(problems))
            if len(self.report.violations) < _SHOWN:
                for problem in problems:
                    self.report.violated(f"{what}: {fault}: {problem}")

    def count(self, what: str) -> None:
        with self.lock:
            self.report.count(what)


def run(*, count: int, seed: int) -> Report:
    """Put that many errors into deliveries, then fill real disks under a resident agent."""
    report = refuse(count=count, seed=seed)
    fill_real_disks(report)
    return report


def refuse(
    *,
    count: int,
    seed: int,
    scenarios: Sequence[Scenario] = SCENES,
    mutant: str = "",
    stop_at: str = "",
) -> Report:
    """Put errors into deliveries: wherever the first scenario writes, then at drawn points."""
    report = Report(name="disk", seed=seed)
    if reason := tracing.require():
        report.notes.append(f"no error was put in: {reason}")
        return report
    for what in ("errors put in", "torn", "mixed", "swallowed", "acknowledged, not on disk"):
        report.count(what, 0)
    report.count("not healed", 0)
    shared = _Shared(report=report, faults=queue.SimpleQueue(), mutant=mutant, stop_at=stop_at)
    with Rig() as first:
        stage = Stage(first)
        for fault in _faults(stage, scenarios, count, random.Random(seed), report):
            shared.faults.put(fault)
        threads = [threading.Thread(target=_work, args=(shared,)) for _ in range(_RIGS - 1)]
        for thread in threads:
            thread.start()
        _work_on(stage, shared)
        for thread in threads:
            thread.join()
    return report


def _faults(
    stage: Stage,
    scenarios: Sequence[Scenario],
    count: int,
    draw: random.Random,
    report: Report,
) -> list[Fault]:
    """Every point at which the first scenario writes, with one error each, then drawn ones."""
    first: list[Fault] = []
    others: list[Fault] = []
    for scenario in scenarios:
        points = stage.points(scenario, tuple(ERRORS))
        report.count(f'points of "{scenario.name}"', len(points))
        for point in points:
            found = [
                Fault(scenario=scenario, point=point, error=error, lasts=lasts)
                for error in ERRORS[point.call]
                for lasts in (False, True)
                if not (lasts and error == "EINTR")
            ]
            draw.shuffle(found)
            is_first = scenario is scenarios[0] and not point.only_reads
            (first if is_first else others).append(found[0])
            others += found[1:]
    draw.shuffle(others)
    return (first + others)[: max(count, len(first))]


def _work(shared: _Shared) -> None:
    try:
        with Rig() as rig:
            _work_on(Stage(rig), shared)
    except Exception:  # noqa: BLE001, a thread must not end unheard
        shared.note([traceback.format_exc()], "the campaign itself failed", "")


def _work_on(stage: Stage, shared: _Shared) -> None:
    while not shared.report.counts.get(shared.stop_at, 0):
        try:
            fault = shared.faults.get_nowait()
        except queue.Empty:
            return
        _attempt(stage, shared, fault)


def _attempt(stage: Stage, shared: _Shared, fault: Fault) -> None:
    scenario = fault.scenario
    stage.begin(scenario)
    ran = stage.run(scenario, point=fault.point, effect=fault.effect, mutant=shared.mutant)
    shared.count("errors put in")
    shared.note(stage.torn(scenario), "torn", fault)
    shared.note(stage.mixed(scenario), "mixed", fault)
    shared.note(_swallowed(scenario, ran), "swallowed", fault)
    shared.note(_false_claims(stage), "acknowledged, not on disk", fault)
    shared.count("reported as the world's fault" if _is_told(ran) else "done all the same")
    again = stage.run(scenario)
    problems = [*stage.after(scenario, again)] or [*stage.conclude(scenario)]
    # An empty folder whose removal was refused goes with the next delivery.
    problems = [one for one in problems if one != ".meshc is left over"]
    shared.note(["; ".join(problems)] if problems else [], "not healed", fault)


def _is_told(ran: Ran) -> bool:
    return ran.verdict in {"WORLD", "ERROR"}


def _swallowed(scenario: Scenario, ran: Ran) -> list[str]:
    """Errors that were not told as what they are: an end that is neither right nor an error."""
    if ran.exit_code:
        return [f"the process ended with {ran.exit_code}"]
    if ran.verdict == "TRACEBACK" or "a mistake of meshc" in str(ran.result):
        return [f"told as a mistake of meshc: {ran.result}"]
    allowed = {scenario.verdict or "DONE", "WORLD", "ERROR"}
    return [] if ran.verdict in allowed else [f"it ended with {ran.verdict}: {ran.result}"]


def _false_claims(stage: Stage) -> list[str]:
    """What the ledger says is good, and done, and does not lie in target and store."""
    ledger = judge.read_ledger(stage.rig.state)
    if ledger is None or ledger["good"] is None:
        return []
    found = []
    good = ledger["good"]
    if good not in judge.stored_generations(stage.rig.state):
        found.append("the good generation is not stored")
    if ledger["intent"] is None and good in _SETS:
        found += judge.lacks(judge.files_in(stage.rig.target), _SETS[good])
    return found + judge.broken_memory(stage.rig.state)
