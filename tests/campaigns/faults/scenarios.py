"""The deliveries into which faults are put: from where, to where, and how each must end."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.campaigns.faults import judge
from tests.campaigns.faults.sets import NEW, OLD, SWAPPED, Files, generation_name, publish
from tests.campaigns.faults.tracing import Point

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.campaigns.faults.rig import Ran, Rig

_HALVES = (0.2, 0.5, 0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A run of the agent that faults are put into.

    Attributes:
        begins: What is kept under this name lies there at first; empty: nothing does.
        goal: What the source gives out.
        ends: What must lie in the target after a run without faults.
        verdict: How that run must end.
        is_up: Whether an Envoy runs on the target.
        later: What must lie there once Envoy runs (again) and the agent too.
    """

    name: str
    begins: str = "old"
    goal: Files
    ends: Files
    verdict: str = "DONE"
    is_up: bool = True
    refuses: frozenset[str] = frozenset()
    overlooks: int = 0
    action: str = "once"
    settings: dict[str, Any] = field(default_factory=dict)
    later: Files | None = None


_CHANGE = Scenario(name="a change", goal=NEW, ends=NEW)
_HALF = Scenario(name="ending what was begun", begins="half", goal=NEW, ends=NEW)
_DOWN = dataclasses.replace(
    _HALF,
    name="taking back, Envoy is down",
    ends=OLD,
    verdict="WORLD",
    is_up=False,
    later=NEW,
)
SCENARIOS = (
    _CHANGE,
    dataclasses.replace(
        _CHANGE, name="a refusal", ends=OLD, verdict="REFUSED", refuses=frozenset({"lds-new"})
    ),
    dataclasses.replace(_CHANGE, name="a rename overlooked", overlooks=2),
    dataclasses.replace(_CHANGE, name="addresses swapped", goal=SWAPPED, ends=SWAPPED),
    dataclasses.replace(_CHANGE, name="a swap overlooked", goal=SWAPPED, ends=SWAPPED, overlooks=2),
    _HALF,
    _DOWN,
    dataclasses.replace(_DOWN, name="prepare", action="prepare", verdict="DONE"),
    dataclasses.replace(
        _CHANGE, name="a first delivery", begins="", is_up=False, verdict="", later=NEW
    ),
    dataclasses.replace(
        _CHANGE,
        name="unconfirmed",
        is_up=False,
        settings={"unconfirmed": True},
        later=NEW,
    ),
)
BY_NAME = {one.name: one for one in SCENARIOS}


class Stage:
    """A rig on which scenarios can be set up again and again."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._sources = {
            generation_name(files): rig.root / "out" / str(number)
            for number, files in enumerate((OLD, NEW, SWAPPED))
        }
        for files in (OLD, NEW, SWAPPED):
            publish(files, self._sources[generation_name(files)])
        self._seconds: dict[str, float] = {}
        self._prepare()

    def _prepare(self) -> None:
        """Make what scenarios begin with: a host that runs the old set, and half deliveries."""
        rig = self.rig
        out = self._sources[generation_name(OLD)]
        rig.run(out)
        rig.envoy.start()
        first = rig.run(out)
        if first.verdict != "DONE" or judge.files_in(rig.target) != OLD:
            raise RuntimeError(f"the old set cannot be delivered: {first.result}")
        rig.envoy.stop()
        rig.save("old")
        whole = self.count_calls(_CHANGE)
        puts = whole.calls["worker"].counts["renameat"]
        for number, share in enumerate(_HALVES):
            n = max(2, round(share * puts))
            self.begin(_CHANGE)
            ran = self.run(_CHANGE, point=Point("worker", "renameat", n), effect=_kill(n))
            if not ran.is_killed or judge.files_in(rig.target) in (OLD, NEW):
                raise RuntimeError(f"put {n} of {puts} is not half way: {ran}")
            rig.envoy.stop()
            rig.save(f"half-{number}")

    def begin(self, scenario: Scenario, draw: random.Random | None = None) -> None:
        """Set a scenario up."""
        self.rig.envoy.stop()
        begins = scenario.begins
        if begins == "half":
            number = draw.randrange(len(_HALVES)) if draw else 1
            begins = f"half-{number}"
        self.rig.restore(begins)
        self.rig.envoy.refuses = scenario.refuses
        self.rig.envoy.overlooks = scenario.overlooks
        if scenario.is_up:
            self.rig.envoy.start()

    def run(self, scenario: Scenario, **how: Any) -> Ran:
        """Run the agent in a scenario."""
        source = self._sources[generation_name(scenario.goal)]
        settings = {"action": scenario.action, **scenario.settings, **how}
        return self.rig.run(source, **settings)

    def count_calls(self, scenario: Scenario) -> Ran:
        """Run a scenario without a fault, and count its system calls."""
        self.begin(scenario)
        ran = self.run(scenario, is_counted=True)
        self.rig.envoy.stop()
        return ran

    def seconds(self, scenario: Scenario) -> float:
        """How long the scenario takes without a fault; measured once."""
        if scenario.name not in self._seconds:
            self.begin(scenario)
            self._seconds[scenario.name] = self.run(scenario).seconds
        return self._seconds[scenario.name]

    def points(self, scenario: Scenario, calls: tuple[str, ...]) -> list[Point]:
        """Every call of these kinds that the scenario makes."""
        return [
            Point(thread, call, n, call == "openat" and n not in made.opened_to_write)
            for thread, made in sorted(self.count_calls(scenario).calls.items())
            for call in calls
            for n in range(1, made.counts[call] + 1)
        ]

    # --- judgement ----------------------------------------------------------------------------

    def torn(self, scenario: Scenario) -> list[str]:
        """Files that are no whole ones."""
        return judge.torn(judge.files_in(self.rig.target), OLD, scenario.goal)

    def mixed(self, scenario: Scenario) -> list[str]:
        """Why an Envoy that starts now, or the one that runs, serves what is not whole."""
        files = judge.files_in(self.rig.target)
        if not scenario.begins and "bootstrap.json" not in files:
            return []  # nobody can have started an Envoy here
        found = judge.dangling(files)
        if scenario.is_up:
            self.rig.envoy.look()
            found += self.rig.envoy.served_wrongly
        return found

    def after(self, scenario: Scenario, ran: Ran) -> Iterator[str]:
        """What is not as it must be after a run without faults."""
        if scenario.verdict and ran.verdict != scenario.verdict:
            yield f"it ended with {ran.verdict}: {ran.result.get('summary')}"
        if scenario.verdict != "REFUSED":
            yield from self._state(scenario.ends)
        else:
            yield from self._state(scenario.ends)
            ledger = judge.read_ledger(self.rig.state) or {}
            if generation_name(scenario.goal) not in ledger.get("quarantine", {}):
                yield "what was refused is not in quarantine"
        if scenario.is_up:
            yield from self._runs(scenario.ends)

    def _state(self, ends: Files) -> Iterator[str]:
        """Compare what lies there with what must."""
        there = judge.files_in(self.rig.target)
        if there != ends:
            wrong = sorted(p for p in {*there, *ends} if there.get(p) != ends.get(p))
            yield f"not the expected set, differs in {', '.join(wrong)}"
        ledger = judge.read_ledger(self.rig.state)
        if ledger is None:
            yield "there is no ledger"
        else:
            if ledger["intent"] is not None:
                yield "the ledger still has an intent"
            if ledger["good"] != generation_name(ends):
                yield "the ledger names another generation as good"
        yield from judge.broken_memory(self.rig.state)
        if generation_name(ends) not in judge.stored_generations(self.rig.state):
            yield "the generation is not stored"
        yield from judge.leftovers(self.rig.target, self.rig.state)

    def _runs(self, ends: Files) -> Iterator[str]:
        has = {name.split(".")[-2]: v for name, v in self.rig.envoy.versions().items()}
        for path, kind in (("cds.json", "cds"), ("lds.json", "lds")):
            if has[kind] != json.loads(ends[path])["version_info"]:
                yield f"Envoy runs {has[kind]}"
        said = sorted(self.rig.envoy.versions().values())
        wanted = sorted(
            json.loads(data)["version_info"]
            for path, data in ends.items()
            if path != "bootstrap.json"
        )
        if said != wanted:
            yield f"Envoy runs {said}, not {wanted}"
        yield from self.rig.envoy.served_wrongly

    def conclude(self, scenario: Scenario) -> Iterator[str]:
        """Start an Envoy where none ran, and let the agent go on; say what is not right then."""
        if scenario.later is None:
            return
        self.rig.envoy.start()
        up = dataclasses.replace(
            scenario,
            is_up=True,
            action="once",
            settings={},
            ends=scenario.later,
            verdict="DONE",
        )
        ran = self.run(up)
        for problem in self.after(up, ran):
            yield f"with Envoy running again: {problem}"


def _kill(n: int) -> str:
    return f"signal=KILL:when={n}"
