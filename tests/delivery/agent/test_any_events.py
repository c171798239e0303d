"""Whatever happens, in any order: the host ends with one whole generation."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.ledger import Ledger, Refusal
from meshc.delivery.agent.machine import is_settled, step, wake_at
from meshc.delivery.agent.state import Rhythm, State

RHYTHM = Rhythm()
BAD = Refusal(reason="no")
NAMES = ("a", "b", "c", "d")


class World:
    """A host whose disk, Envoy, source and operator do what a random source tells them."""

    def __init__(self, luck: random.Random) -> None:
        self.luck = luck
        self.now = 0.0
        self.disk: str | None = None
        """Generation in the target; None: nothing, or files of two."""
        self.is_empty = False
        """Whether it is nothing, because the target is another directory now."""
        self.is_unseen = False
        """Whether that happened behind the agent's back: it has not looked, or delivered, since."""
        self.state = State(rhythm=RHYTHM, ledger=Ledger())
        self.running: ev.Job | None = None
        """What the worker is at."""
        self.is_kind = False
        self.refused: set[str] = set()

    def start(self) -> None:
        """Come up with nothing but the ledger, as after a crash."""
        self.running = None
        self.state = State(rhythm=RHYTHM, ledger=self.state.ledger)
        self.take(ev.Started(at=self.now, is_whole=self.is_whole()))

    def is_whole(self) -> bool:
        """Whether an Envoy could start; with files of two it could, where there was a good set."""
        is_there = self.disk is not None or self.state.ledger.good is not None
        return is_there and not self.is_empty

    def put(self, generation: str | None) -> None:
        """Have these files lie in the target."""
        self.disk = generation
        self.is_empty = self.is_empty and generation is None
        self.is_unseen = self.is_unseen and generation is None

    def take(self, event: ev.Event) -> None:
        before = self.state
        self.state, found = step(before, event)
        for action in found:
            if isinstance(action, ev.Fetch | ev.Check | ev.Deliver | ev.Probe):
                assert self.state.job == action
                assert self.running is None, "two jobs at once"
                self.running = action
            if isinstance(action, ev.Deliver):
                assert action.generation not in self.state.ledger.quarantine
                assert self.state.ledger.intent == action.generation
            if isinstance(action, ev.Check) and self.state.doubt is not None:
                assert action.generation != self.state.doubt.generation
        if not isinstance(event, ev.AllowAsked):
            assert self.state.ledger.order >= before.ledger.order
        self.check()

    def check(self) -> None:
        ledger = self.state.ledger
        if not isinstance(self.state.job, ev.Deliver):
            known_bad = ledger.intent is not None or ledger.good is None
            is_known = known_bad or self.state.must_repeat
            assert self.disk == ledger.good or is_known or self.is_unseen
        due = wake_at(self.state)
        if due is not None and due <= self.now:
            _, found = step(self.state, ev.Ticked(at=self.now))
            assert found, "awake for nothing"

    def crash(self) -> None:
        if isinstance(self.state.job, ev.Deliver) and self.luck.random() < 0.7:
            self.put(None)
        self.start()

    def move(self) -> None:
        self.now += self.luck.choice((0.0, 0.001, 0.1, 1.0, 30.0))
        kind = self.luck.random()
        if not self.is_kind and kind < 0.1:
            self.crash()
        elif not self.is_kind and kind < 0.12:
            self.replace_target()
        elif not self.is_kind and kind < 0.3:
            self.take(self.outside())
        elif self.running is not None:
            job, self.running = self.running, None
            self.take(self.reply(job))
        else:
            self.now = max(self.now, wake_at(self.state) or self.now)
            self.take(ev.Ticked(at=self.now))

    def replace_target(self) -> None:
        """Somebody moves the target away, and another, empty directory gets its name."""
        is_asked = self.state.is_up is not False
        self.put(None)
        self.is_empty = self.is_unseen = True
        self.take(ev.TargetReplaced(at=self.now))
        assert self.state.is_replaced or not is_asked

    def outside(self) -> ev.Event:
        name = self.luck.choice(NAMES)
        return self.luck.choice(
            (
                ev.SourceChanged(at=self.now),
                ev.HealthChanged(at=self.now),
                ev.Ticked(at=self.now),
                ev.PauseAsked(at=self.now, reason="p"),
                ev.ResumeAsked(at=self.now),
                ev.RollbackAsked(at=self.now, generation=name, reason="r"),
                ev.AllowAsked(at=self.now, generation=name),
            )
        )

    def reply(self, job: ev.Job) -> ev.Event:
        is_fine = self.is_kind or self.luck.random() < 0.6
        match job:
            case ev.Fetch():
                if is_fine:
                    name = NAMES[-1] if self.is_kind else self.luck.choice(NAMES)
                    # Later each time, but also earlier, as after a snapshot was restored.
                    back = 0 if self.is_kind else self.luck.choice((0, 0, 0, 50, 5000))
                    order = max(1, 10_000 + int(self.now * 1000) - back)
                    clock = int(self.now * 1000)
                    return ev.Fetched(at=self.now, generation=name, order=order, clock_ms=clock)
                half = self.luck.random() < 0.5
                return ev.FetchFailed(at=self.now, reason="f", is_incomplete=half)
            case ev.Check():
                if is_fine:
                    return ev.Passed(at=self.now, generation=job.generation)
                return self.luck.choice(
                    (
                        ev.Held(at=self.now, generation=job.generation, reason="h"),
                        ev.Rejected(at=self.now, generation=job.generation, refusal=BAD),
                        ev.Failed(at=self.now, generation=job.generation, reason="w"),
                        ev.Lost(at=self.now, generation=job.generation),
                    )
                )
            case ev.Deliver():
                return self.delivery(job, is_fine=is_fine)
            case ev.Probe():
                self.is_unseen = False
                return ev.Probed(
                    at=self.now,
                    is_up=is_fine,
                    is_current=self.disk is not None if is_fine else None,
                    is_restarted=is_fine and self.luck.random() < 0.2,
                    is_disk_changed=self.disk != self.state.ledger.good,
                    is_whole=self.is_whole(),
                )

    def delivery(self, job: ev.Deliver, *, is_fine: bool) -> ev.Event:
        before = self.disk
        if is_fine:
            self.put(job.generation)
            return ev.Delivered(at=self.now, generation=job.generation)
        kind = self.luck.choice(("rejected", "failed", "gone", "lost"))
        if kind == "lost":
            return ev.Lost(at=self.now, generation=job.generation)
        if kind == "gone" and job.fallback is not None:
            self.put(job.fallback)
            return ev.Undone(at=self.now, generation=job.fallback)
        is_restored = self.luck.random() < 0.7
        self.put(before if is_restored else None)
        if kind == "rejected":
            return ev.Rejected(
                at=self.now, generation=job.generation, refusal=BAD, is_restored=is_restored
            )
        return ev.Failed(
            at=self.now,
            generation=job.generation,
            reason="w",
            is_gone=kind == "gone",
            is_restored=is_restored,
        )


@pytest.mark.property
@settings(max_examples=3000, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_from_any_events_the_host_ends_with_one_whole_generation(seed: int) -> None:
    """And nothing in quarantine is ever tried, at most one job runs, nobody wakes for nothing."""
    world = World(random.Random(seed))
    world.start()
    for _ in range(150):
        world.move()

    world.is_kind = True
    world.start()  # what was lost on disk is there again, or has been fetched
    world.take(ev.ResumeAsked(at=world.now))
    for _ in range(60):
        world.move()

    ledger = world.state.ledger
    wanted = NAMES[-1]
    if wanted in ledger.quarantine or wanted in world.state.held:
        assert ledger.intent is None
        assert world.disk == ledger.good
    else:
        assert (world.disk, ledger.good, ledger.intent) == (wanted, wanted, None)
    assert world.state.renew_since is None or ledger.good in {None, *world.state.lost}
    assert is_settled(world.state) or world.state.job is not None
