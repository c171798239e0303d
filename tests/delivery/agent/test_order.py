"""Publications are followed forward only: the rule, what the agent makes of it, what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.ledger import Ledger, load_ledger, save_ledger
from meshc.delivery.agent.machine import is_settled, step
from meshc.delivery.agent.order import moment, why_doubtful
from meshc.delivery.agent.rollback import allow_target
from meshc.delivery.agent.state import Rhythm, State
from meshc.delivery.agent.status import word_of
from meshc.delivery.agent.verdict import Verdict, verdict_of

DAY = 24 * 3600 * 1000
NOON = 1_764_000_000_000
"""2025-11-24, 16:00 UTC."""
RHYTHM = Rhythm()


def doubt(order: int, generation: str = "new", *, clock: int = NOON) -> str | None:
    return why_doubtful(order, generation, seen=NOON, seen_of="old", clock_ms=clock)


def test_a_later_publication_is_right() -> None:
    assert doubt(NOON + 1) is None


@pytest.mark.parametrize("order", [1, NOON - DAY, NOON - 1, NOON])
def test_an_older_publication_is_doubted_and_both_times_are_said(order: int) -> None:
    reason = doubt(order)

    assert reason is not None
    assert "older publication" in reason
    assert moment(order) in reason
    assert "2025-11-24 16:00:00 UTC" in reason


@pytest.mark.parametrize("order", [1, NOON - 1, NOON, 2**53])
def test_the_same_files_are_right_whenever_they_were_published(order: int) -> None:
    assert doubt(order, "old") is None


def test_a_publication_from_the_future_is_doubted() -> None:
    assert doubt(NOON + 7 * DAY) is None
    assert "from the future" in str(doubt(NOON + 7 * DAY + 1))
    assert "from the future, of 9999-01-01" in str(doubt(2**53))


def test_a_clock_that_is_years_behind_does_not_make_tomorrow_the_future() -> None:
    assert doubt(NOON + DAY, clock=NOON - 3650 * DAY) is None


def test_a_clock_that_is_years_ahead_forgets_nothing() -> None:
    assert "older" in str(doubt(NOON - 1, clock=NOON + 3650 * DAY))
    assert doubt(NOON + DAY, clock=NOON + 3650 * DAY) is None


def test_a_host_that_has_seen_nothing_takes_what_comes_but_not_from_the_future() -> None:
    def first(order: int) -> str | None:
        return why_doubtful(order, "a", seen=0, seen_of="", clock_ms=NOON)

    assert first(NOON - 1000 * DAY) is None
    assert first(NOON + 7 * DAY + 1) is not None


# --- the agent ------------------------------------------------------------------------------------


def state(**facts: object) -> State:
    ledger = Ledger(good="b", is_accepted=True, order=NOON, order_of="b")
    quiet: dict[str, object] = {
        "latest": "b",
        "fetch_at": 1000.0,
        "probe_at": 1000.0,
        "is_whole": True,
        "is_up": True,
        "is_confirmed": True,
        "job": ev.Fetch("b"),
    }
    return State(rhythm=RHYTHM, ledger=ledger, **quiet | facts)  # type: ignore[arg-type]


def fetched(generation: str, order: int | None) -> ev.Fetched:
    return ev.Fetched(at=1.0, generation=generation, order=order, clock_ms=NOON)


def test_a_later_publication_is_remembered_before_anything_is_done_with_it() -> None:
    after, actions = step(state(), fetched("c", NOON + 1))

    assert (after.ledger.order, after.ledger.order_of) == (NOON + 1, "c")
    assert actions == (ev.Check("c"),)


def test_an_older_publication_leads_to_nothing() -> None:
    after, actions = step(state(), fetched("a", NOON - DAY))

    assert actions == ()
    assert (after.ledger.order, after.ledger.order_of) == (NOON, "b")
    assert is_settled(after)


def test_a_later_time_of_the_same_files_is_remembered() -> None:
    after, _ = step(state(), fetched("b", NOON + 5))

    older, actions = step(replace(after, job=ev.Fetch("b")), fetched("c", NOON + 1))

    assert after.ledger.order == NOON + 5
    assert older.doubt is not None
    assert actions == ()


def test_an_earlier_time_of_the_same_files_forgets_nothing() -> None:
    after, _ = step(state(), fetched("b", NOON - DAY))

    assert after.doubt is None
    assert after.ledger.order == NOON


def test_when_the_right_publication_comes_the_doubt_is_over() -> None:
    doubtful, _ = step(state(), fetched("a", NOON - DAY))
    again = replace(doubtful, job=ev.Fetch("a"))

    after, actions = step(again, fetched("a", NOON + 1))

    assert after.doubt is None
    assert actions == (ev.Check("a"),)


def test_a_source_without_times_is_followed_as_ever() -> None:
    after, actions = step(state(), fetched("a", None))

    assert actions == (ev.Check("a"),)
    assert after.ledger.order == NOON


def test_an_older_publication_that_comes_while_the_newer_is_delivered_does_not_follow_it() -> None:
    """The older one is what ran before, so it would be a step back right after a step forward."""
    busy = state(
        latest="c",
        job=ev.Deliver(generation="c"),
    )
    busy = replace(busy, ledger=replace(busy.ledger, intent="c", order=NOON + 1, order_of="c"))
    done, _ = step(busy, ev.Delivered(at=1.0, generation="c"))

    after, actions = step(replace(done, job=ev.Fetch("c")), fetched("b", NOON))

    assert after.ledger.good == "c"
    assert not [one for one in actions if isinstance(one, ev.Check | ev.Deliver)]


def test_the_operators_word_lets_an_older_publication_through_and_counts_from_there() -> None:
    doubtful, _ = step(state(), fetched("a", NOON - DAY))

    after, actions = step(doubtful, ev.AllowAsked(at=2.0, generation="a"))
    later, then = step(replace(after, latest="a", job=ev.Fetch("a")), fetched("d", NOON - DAY + 1))

    assert actions == (ev.Check("a", is_allowed=True),)
    assert (after.ledger.order, after.ledger.order_of) == (NOON - DAY, "a")
    assert later.doubt is None
    assert then == (ev.Check("d"),)


def test_a_word_for_an_older_publication_does_not_hold_once_a_newer_one_has_come() -> None:
    doubtful, _ = step(state(), fetched("a", NOON - DAY))
    allowed, _ = step(doubtful, ev.AllowAsked(at=2.0, generation="a"))
    newer, _ = step(replace(allowed, job=ev.Fetch("a")), fetched("c", NOON + 1))

    back, actions = step(replace(newer, job=ev.Fetch("c")), fetched("a", NOON - DAY))

    assert back.doubt is not None
    assert actions == ()


def test_a_doubtful_generation_is_one_that_allow_can_name() -> None:
    doubtful, _ = step(state(), fetched("abcdef", NOON - DAY))

    assert allow_target(doubtful.ledger, doubtful.waiting(), None, "abc") == "abcdef"  # type: ignore[arg-type]


def test_the_status_says_that_and_why_an_older_publication_is_held_and_what_to_do() -> None:
    doubtful, _ = step(state(), fetched("a", NOON - DAY))

    word = word_of(doubtful)

    assert word.state == "held"
    assert word.summary.startswith("HELD: generation a is not delivered, because it is an older")
    assert word.summary.endswith("Generation b runs")
    assert "meshc publish … --again" in word.todo
    assert "meshc agent allow a" in word.todo


def test_an_older_publication_of_what_runs_is_no_alarm() -> None:
    """It was refused by Envoy, say, and the source has gone back to the one before."""
    before = state()
    before = replace(before, ledger=replace(before.ledger, order_of="c", order=NOON + 1))

    after, _ = step(before, fetched("b", NOON))

    assert word_of(replace(after, job=None)).state == "ok"


def test_while_paused_an_older_publication_is_no_alarm_either() -> None:
    before = state()
    before = replace(before, ledger=replace(before.ledger, paused="the database moves"))

    after, _ = step(before, fetched("a", NOON - DAY))

    assert word_of(after).state == "paused"


def test_a_single_run_ends_as_refused() -> None:
    after, _ = step(state(), fetched("a", NOON - DAY))

    assert verdict_of(after, is_fresh=False, is_following=True) is Verdict.REFUSED


def test_how_far_was_followed_outlives_a_crash(tmp_path: object) -> None:
    ledger = Ledger(good="b", order=NOON, order_of="b")
    save_ledger(tmp_path, ledger)  # type: ignore[arg-type]

    assert load_ledger(tmp_path) == (ledger, "")  # type: ignore[arg-type]
