"""What the agent decides: single decisions as a table, and any sequence of events at all."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.haste import Haste
from meshc.delivery.agent.ledger import Ledger, Refusal
from meshc.delivery.agent.machine import is_settled, step, wake_at
from meshc.delivery.agent.state import Rhythm, State

RHYTHM = Rhythm()
BAD = Refusal(reason="no")


def state(**facts: object) -> State:
    ledger_names = ("good", "is_accepted", "previous", "intent", "wanted", "paused", "quarantine")
    ledger = Ledger(**{name: facts.pop(name) for name in ledger_names if name in facts})  # type: ignore[arg-type]
    quiet: dict[str, object] = {
        "fetch_at": 1000.0,
        "probe_at": 1000.0,
        "is_whole": True,
        "is_up": True,
        "is_confirmed": True,
    }
    return State(rhythm=RHYTHM, ledger=ledger, **quiet | facts)  # type: ignore[arg-type]


def actions(before: State, event: ev.Event) -> tuple[ev.Action, ...]:
    return step(before, event)[1]


def test_a_change_at_the_source_is_fetched_at_once() -> None:
    assert actions(state(good="a", latest="a"), ev.SourceChanged(at=1.0)) == (ev.Fetch("a"),)


def test_a_new_generation_is_checked_before_it_is_delivered() -> None:
    before = state(good="a", latest="a", job=ev.Fetch("a"))

    after, first = step(before, ev.Fetched(at=1.0, generation="b"))
    _, second = step(after, ev.Passed(at=1.0, generation="b"))

    assert first == (ev.Check("b"),)
    assert second == (ev.Deliver(generation="b"),)


def test_the_intent_is_known_before_the_delivery_begins() -> None:
    before = state(good="a", latest="b", checked="b")

    after, _ = step(before, ev.Ticked(at=1.0))

    assert after.ledger.intent == "b"
    assert after.ledger.good == "a"


def test_the_same_generation_is_not_delivered_again() -> None:
    before = state(good="a", latest="a", job=ev.Fetch("a"))

    assert actions(before, ev.Fetched(at=1.0, generation="a")) == ()


def test_a_generation_in_quarantine_is_not_tried() -> None:
    before = state(good="a", latest="a", job=ev.Fetch("a"), quarantine={"b": BAD})

    assert actions(before, ev.Fetched(at=1.0, generation="b")) == ()


def test_a_rejected_generation_goes_into_quarantine_and_the_good_one_stays() -> None:
    before = state(good="a", intent="b", latest="b", job=ev.Deliver(generation="b"))

    after, then = step(before, ev.Rejected(at=1.0, generation="b", refusal=BAD))

    assert after.ledger.quarantine == {"b": BAD}
    assert (after.ledger.good, after.ledger.intent) == ("a", None)
    assert then == ()


def test_where_the_good_files_could_not_be_put_back_that_is_done_next() -> None:
    before = state(good="a", intent="b", latest="b", job=ev.Deliver(generation="b"))
    event = ev.Rejected(at=1.0, generation="b", refusal=BAD, is_restored=False)

    assert actions(before, event) == (ev.Deliver(generation="a", is_ending=True, fallback="a"),)


def test_a_rejection_while_ending_an_earlier_delivery_brings_the_good_one_back() -> None:
    """What was put back then are the files of the delivery that was cut off."""
    before = state(
        good="a",
        intent="b",
        latest="b",
        job=ev.Deliver(generation="b", is_ending=True, fallback="a"),
    )
    event = ev.Rejected(at=1.0, generation="b", refusal=BAD, is_restored=True)

    assert actions(before, event) == (ev.Deliver(generation="a", is_ending=True, fallback="a"),)


def test_what_a_killed_agent_had_begun_is_ended_before_anything_else() -> None:
    before = State(rhythm=RHYTHM, ledger=Ledger(good="a", intent="b"))

    assert actions(before, ev.Started(at=1.0, is_whole=True)) == (
        ev.Deliver(generation="b", is_ending=True, fallback="a"),
    )


def test_under_an_envoy_that_is_down_nothing_is_delivered_as_long_as_it_could_start() -> None:
    before = state(good="a", latest="b", checked="b", is_up=False)

    assert actions(before, ev.Ticked(at=1.0)) == ()


def test_a_first_set_is_laid_out_although_no_envoy_runs() -> None:
    before = state(latest="a", checked="a", is_up=False, is_whole=False)

    assert actions(before, ev.Ticked(at=1.0)) == (ev.Deliver(generation="a"),)


def test_when_envoy_comes_back_what_waited_is_delivered() -> None:
    before = state(good="a", latest="b", checked="b", is_up=False, job=ev.Probe(), deliver_at=9.0)

    event = ev.Probed(at=1.0, is_up=True, is_current=True)

    assert actions(before, event) == (ev.Deliver(generation="b"),)


def test_an_envoy_that_runs_something_else_than_the_disk_says_is_nudged() -> None:
    before = state(good="a", latest="a", job=ev.Probe())

    event = ev.Probed(at=1.0, is_up=True, is_current=False)

    assert actions(before, event) == (ev.Deliver(generation="a"),)


def test_files_that_somebody_changed_are_put_right() -> None:
    before = state(good="a", latest="a", job=ev.Probe())

    event = ev.Probed(at=1.0, is_up=True, is_current=True, is_disk_changed=True)

    assert actions(before, event) == (ev.Deliver(generation="a"),)


def test_what_envoy_ran_before_does_not_go_into_quarantine() -> None:
    before = state(good="a", is_accepted=True, latest="a", job=ev.Deliver(generation="a"))

    after, then = step(before, ev.Rejected(at=1.0, generation="a", refusal=BAD))

    assert after.ledger.quarantine == {}
    assert after.must_repeat
    assert then == ()
    assert actions(after, ev.Ticked(at=60.0)) == (ev.Deliver(generation="a"),)


def test_a_paused_agent_fetches_and_does_not_deliver() -> None:
    before = state(good="a", latest="a", paused="by me", job=ev.Fetch("a"))

    after, then = step(before, ev.Fetched(at=1.0, generation="b"))

    assert then == ()
    assert actions(after, ev.ResumeAsked(at=2.0)) == (ev.Check("b"),)


def test_a_rollback_delivers_and_pauses() -> None:
    before = state(good="b", latest="b")

    after, then = step(before, ev.RollbackAsked(at=1.0, generation="a", reason="by me"))

    assert then == (ev.Deliver(generation="a"),)
    assert after.ledger.paused == "by me"


def test_a_rollback_into_quarantine_is_ignored() -> None:
    before = state(good="b", latest="b", quarantine={"a": BAD})

    event = ev.RollbackAsked(at=1.0, generation="a", reason="by me")

    assert actions(before, event) == ()


def test_a_held_generation_is_delivered_once_somebody_gives_the_word() -> None:
    before = state(good="a", latest="b", job=ev.Check("b"))

    held, then = step(before, ev.Held(at=1.0, generation="b", reason="it shrinks"))
    _, allowed = step(held, ev.AllowAsked(at=2.0, generation="b"))

    assert then == ()
    assert allowed == (ev.Check("b", is_allowed=True),)


def test_a_delivery_in_progress_is_hurried_when_the_source_moves() -> None:
    before = state(good="a", intent="b", latest="b", job=ev.Deliver(generation="b"))

    assert actions(before, ev.SourceChanged(at=1.0)) == (ev.Hurry(Haste.NEWS),)


def test_a_delivery_in_progress_is_ended_before_the_agent_stops() -> None:
    before = state(good="a", intent="b", latest="b", job=ev.Deliver(generation="b"))

    after, first = step(before, ev.StopAsked(at=1.0))
    _, second = step(after, ev.Delivered(at=2.0, generation="b"))

    assert first == (ev.Hurry(Haste.STOP),)
    assert second == (ev.Stop(),)


@pytest.mark.parametrize("job", [None, ev.Fetch("a"), ev.Check("b"), ev.Probe()])
def test_nothing_else_keeps_the_agent_from_stopping(job: ev.Job | None) -> None:
    assert actions(state(good="a", job=job), ev.StopAsked(at=1.0)) == (ev.Stop(),)


def test_half_a_bundle_is_looked_at_again_when_the_writer_is_quiet() -> None:
    before = state(good="a", latest="a", job=ev.Fetch("a"), dirty_since=1.0, moved_at=1.0)

    after, then = step(before, ev.FetchFailed(at=1.1, reason="half", is_incomplete=True))

    assert then == ()
    assert after.source_problem is None
    assert wake_at(after) == pytest.approx(1.15)


def test_half_a_bundle_is_a_failure_after_the_longest_wait() -> None:
    before = state(good="a", latest="a", job=ev.Fetch("a"), dirty_since=1.0, moved_at=2.9)
    before = replace(before, fetch_began=3.0)

    after, _ = step(before, ev.FetchFailed(at=3.1, reason="half", is_incomplete=True))

    assert after.source_problem is not None
    assert after.source_problem.text == "half"


@pytest.mark.parametrize(
    ("failures", "luck", "pause"),
    [
        (0, 1.0, 0.5),
        (1, 1.0, 1.0),
        (3, 0.5, 2.0),
        (30, 1.0, 60.0),
        (10_000, 1.0, 60.0),
        (4, 0.0, 0.05),
    ],
)
def test_a_failing_source_is_asked_for_ever_at_growing_random_distances(
    failures: int, luck: float, pause: float
) -> None:
    before = state(good="a", latest="a", job=ev.Fetch("a"), source_failures=failures)

    after, _ = step(before, ev.FetchFailed(at=100.0, reason="down", luck=luck))

    assert after.fetch_at - 100.0 == pytest.approx(pause)


def test_a_change_during_a_fetch_is_fetched_too() -> None:
    fetching, _ = step(state(good="a", latest="a"), ev.SourceChanged(at=1.0))
    moved, _ = step(fetching, ev.SourceChanged(at=2.0))

    assert actions(moved, ev.Fetched(at=3.0, generation="a")) == (ev.Fetch("a"),)


def test_leftovers_are_removed_later() -> None:
    before = state(good="a", intent="b", latest="b", job=ev.Deliver(generation="b"))

    after, then = step(before, ev.Delivered(at=1.0, generation="b", is_untidy=True))
    after, _ = step(after, ev.Probed(at=1.0, is_up=True, is_current=True))
    after = replace(after, probe_at=1000.0)

    assert then == (ev.Probe(),)
    assert actions(after, ev.Ticked(at=31.0)) == (ev.Deliver(generation="b"),)


def test_a_notice_that_comes_after_the_fetch_that_saw_the_change_hurries_nobody() -> None:
    before = state(
        good="a",
        intent="b",
        latest="b",
        fetch_began=5.0,
        job=ev.Deliver(generation="b"),
    )

    assert actions(before, ev.SourceChanged(at=4.9)) == ()
    assert actions(before, ev.SourceChanged(at=5.1)) == (ev.Hurry(Haste.NEWS),)


def test_what_a_start_has_to_end_is_not_hurried_by_the_start_itself() -> None:
    before = state(good="a", intent="b", is_confirmed=False)

    started, first = step(before, ev.Started(at=1.0, is_whole=True))
    _, second = step(started, ev.Ticked(at=2.0))
    _, third = step(started, ev.SourceChanged(at=3.0))

    assert first == (ev.Deliver(generation="b", is_ending=True, fallback="a"),)
    assert second == ()
    assert third == (ev.Hurry(Haste.NEWS),)


def test_a_word_of_the_operator_ends_a_quarantine() -> None:
    before = state(good="a", latest="b", quarantine={"b": BAD}, deliver_at=900.0)

    after, then = step(before, ev.AllowAsked(at=1.0, generation="b"))

    assert after.ledger.quarantine == {}
    assert then == (ev.Check("b", is_allowed=True),)


def test_what_is_damaged_is_mended_before_anything_new_is_delivered() -> None:
    before = state(good="a", latest="b", checked="b", is_whole=False, must_repeat=True)

    assert actions(before, ev.Ticked(at=1.0)) == (ev.Deliver(generation="a"),)


def test_a_damaged_target_is_mended_after_a_start() -> None:
    before = state(good="a", latest=None)

    after, then = step(before, ev.Started(at=1.0, is_whole=False))

    assert then == (ev.Deliver(generation="a"),)
    assert after.must_repeat


# --- any sequence of events ------------------------------------------------------------------

NAMES = ("a", "b", "c", "d")


class World:
    """A host whose disk, Envoy, source and operator do what a random source tells them."""

    def __init__(self, luck: random.Random) -> None:
        self.luck = luck
        self.now = 0.0
        self.disk: str | None = None
        """Generation in the target; None: nothing, or files of two."""
        self.state = State(rhythm=RHYTHM, ledger=Ledger())
        self.is_kind = False
        self.refused: set[str] = set()

    def start(self) -> None:
        """Come up with nothing but the ledger, as after a crash."""
        self.state = State(rhythm=RHYTHM, ledger=self.state.ledger)
        is_whole = self.disk is not None or self.state.ledger.good is not None
        self.take(ev.Started(at=self.now, is_whole=is_whole))

    def take(self, event: ev.Event) -> None:
        before = self.state
        self.state, found = step(before, event)
        for action in found:
            if isinstance(action, ev.Fetch | ev.Check | ev.Deliver | ev.Probe):
                assert self.state.job == action
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
            assert self.disk == ledger.good or known_bad or self.state.must_repeat
        due = wake_at(self.state)
        if due is not None and due <= self.now:
            _, found = step(self.state, ev.Ticked(at=self.now))
            assert found, "awake for nothing"

    def crash(self) -> None:
        if isinstance(self.state.job, ev.Deliver) and self.luck.random() < 0.7:
            self.disk = None
        self.start()

    def move(self) -> None:
        self.now += self.luck.choice((0.0, 0.001, 0.1, 1.0, 30.0))
        kind = self.luck.random()
        if not self.is_kind and kind < 0.1:
            self.crash()
        elif not self.is_kind and kind < 0.3:
            self.take(self.outside())
        elif self.state.job is not None:
            self.take(self.reply(self.state.job))
        else:
            self.now = max(self.now, wake_at(self.state) or self.now)
            self.take(ev.Ticked(at=self.now))

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
                return ev.Probed(
                    at=self.now,
                    is_up=is_fine,
                    is_current=self.disk is not None if is_fine else None,
                    is_disk_changed=self.disk != self.state.ledger.good,
                    is_whole=self.disk is not None or self.state.ledger.good is not None,
                )

    def delivery(self, job: ev.Deliver, *, is_fine: bool) -> ev.Event:
        before = self.disk
        if is_fine:
            self.disk = job.generation
            return ev.Delivered(at=self.now, generation=job.generation)
        kind = self.luck.choice(("rejected", "failed", "gone", "lost"))
        if kind == "lost":
            return ev.Lost(at=self.now, generation=job.generation)
        if kind == "gone" and job.fallback is not None:
            self.disk = job.fallback
            return ev.Undone(at=self.now, generation=job.fallback)
        is_restored = self.luck.random() < 0.7
        self.disk = before if is_restored else None
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
