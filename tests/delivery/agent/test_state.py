"""What the agent decides, one decision at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.haste import Haste
from meshc.delivery.agent.ledger import Ledger, Refusal
from meshc.delivery.agent.machine import step, wake_at
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
