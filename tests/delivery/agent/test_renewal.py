"""When endpoints change what runs is delivered anew, and nothing else is changed by that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.haste import Haste
from meshc.delivery.agent.ledger import Ledger, Refusal
from meshc.delivery.agent.machine import is_settled, step
from meshc.delivery.agent.state import Rhythm, State

BAD = Refusal(reason="no")
RENEWS = ev.Deliver(generation="a", is_renewal=True)


def state(**facts: object) -> State:
    names = ("good", "previous", "paused", "wanted", "intent")
    ledger = Ledger(
        is_accepted=True,
        **{name: facts.pop(name) for name in names if name in facts},  # type: ignore[arg-type]
    )
    known: dict[str, object] = {
        "latest": "a",
        "fetch_at": 1000.0,
        "probe_at": 1000.0,
        "is_whole": True,
        "is_up": True,
        "is_confirmed": True,
    }
    return State(rhythm=Rhythm(), ledger=ledger, **known | facts)  # type: ignore[arg-type]


def changed(before: State, at: float = 1.0) -> tuple[State, tuple[ev.Action, ...]]:
    return step(before, ev.HealthChanged(at=at))


def test_what_runs_is_delivered_anew_without_a_check() -> None:
    _, then = changed(state(good="a"))

    assert then == (RENEWS,)


def test_once_delivered_it_is_over_and_the_generation_before_stays_that() -> None:
    after, _ = changed(state(good="a", previous="z"))

    after, _ = step(after, ev.Delivered(at=2.0, generation="a"))

    assert (after.ledger.good, after.ledger.previous, after.ledger.intent) == ("a", "z", None)
    assert after.renew_since is None
    assert is_settled(replace(after, job=None))


@pytest.mark.parametrize("facts", [{"paused": "by an operator"}, {"latest": None}])
def test_neither_a_pause_nor_a_silent_source_is_in_the_way(facts: dict[str, object]) -> None:
    _, then = changed(state(good="a", **facts))

    assert then == (RENEWS,)


def test_a_change_during_the_delivery_is_delivered_after_it() -> None:
    during, _ = changed(state(good="a"), at=1.0)
    again, hurry = changed(during, at=1.5)

    after, then = step(again, ev.Delivered(at=2.0, generation="a"))

    assert hurry == (ev.Hurry(Haste.ENDPOINTS),)
    assert then == (RENEWS,)
    assert after.renew_since == 1.5


def test_a_build_that_is_delivered_has_the_endpoints_of_its_moment() -> None:
    before = state(good="a", latest="b", checked="b", renew_since=0.5)

    delivering, first = step(before, ev.Ticked(at=1.0))
    after, _ = step(delivering, ev.Delivered(at=2.0, generation="b"))

    assert first == (ev.Deliver(generation="b"),)
    assert after.renew_since is None


def test_a_change_waits_for_what_has_to_be_delivered_first() -> None:
    _, rollback = changed(state(good="a", wanted="c"))
    _, ending = changed(state(good="a", intent="b"))

    assert rollback == (ev.Deliver(generation="c"),)
    assert ending == (ev.Deliver(generation="b", is_ending=True, fallback="a"),)


def test_under_an_envoy_that_does_not_run_nothing_is_changed_until_it_does() -> None:
    waiting, then = changed(state(good="a", is_up=False, is_confirmed=False))

    _, when_back = step(
        replace(waiting, job=ev.Probe()), ev.Probed(at=2.0, is_up=True, is_current=True)
    )

    assert then == ()
    assert when_back == (RENEWS,)


def test_without_anything_that_runs_there_is_nothing_to_renew() -> None:
    _, then = changed(state(latest=None))

    assert then == ()


def test_endpoints_that_envoy_refuses_are_tried_again_with_those_before() -> None:
    """The job says that it failed, not that the generation was rejected."""
    renewing, _ = changed(state(good="a"))

    after, _ = step(renewing, ev.Failed(at=2.0, generation="a", reason="refused"))
    _, then = step(after, ev.Ticked(at=after.deliver_at))

    assert after.ledger.quarantine == {}
    assert after.ledger.good == "a"
    assert then == (RENEWS,)


def test_it_hurries_draining_connections_and_leaves_clusters_the_time_to_get_warm() -> None:
    delivering = state(good="a", intent="b", latest="b", job=ev.Deliver(generation="b"))

    _, then = changed(delivering)

    assert then == (ev.Hurry(Haste.ENDPOINTS),)
    assert Haste.NONE < Haste.ENDPOINTS < Haste.NEWS < Haste.STOP
