"""A delivery that fails is said to fail until it does not, whatever runs well meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.ledger import Ledger, Refusal
from meshc.delivery.agent.machine import step
from meshc.delivery.agent.state import Problem, Rhythm, State
from meshc.delivery.agent.status import word_of
from meshc.delivery.agent.verdict import Verdict, verdict_of

FULL = Problem(text="the disk is full")
WELL = ev.Probed(at=2.0, is_up=True, is_current=True, is_whole=True)
"""Envoy runs what is good."""


def failed(*, latest: str = "b", lost: str = "", held: str = "", **ledger: Any) -> State:
    """A generation could not be delivered, a is good; the next attempt is far away."""
    return State(
        rhythm=Rhythm(),
        ledger=Ledger(good="a", **ledger),
        latest=latest,
        lost=frozenset(lost),
        held={held: "it shrinks"} if held else {},
        is_whole=True,
        is_up=True,
        delivery_problem=FULL,
        fetch_at=1000.0,
        probe_at=1000.0,
        deliver_at=500.0,
    )


def after_a_look_at_envoy(before: State) -> State:
    return step(before, WELL)[0]


def test_that_envoy_runs_the_old_generation_does_not_make_the_new_one_deliverable() -> None:
    found = after_a_look_at_envoy(failed())

    assert found.delivery_problem == FULL
    assert word_of(found).state == "failing"


def test_a_single_run_ends_although_envoy_is_looked_at_after_each_attempt() -> None:
    found = after_a_look_at_envoy(failed())

    assert verdict_of(found, is_fresh=False, is_following=True) is Verdict.WORLD


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"latest": "a"}, "ok"),
        ({"paused": "by hand"}, "paused"),
        ({"held": "b"}, "held"),
        ({"quarantine": {"b": Refusal(reason="no")}}, "quarantined"),
        ({"lost": "b"}, "ok"),
    ],
    ids=["the source has gone back", "paused", "held", "refused", "damaged"],
)
def test_what_nobody_wants_to_deliver_any_more_is_no_failure(
    facts: dict[str, Any], word: str
) -> None:
    found = after_a_look_at_envoy(failed(**facts))

    assert found.delivery_problem is None
    assert word_of(found).state == word


@pytest.mark.parametrize("facts", [{"wanted": "c"}, {"intent": "b"}])
def test_a_rollback_or_an_end_that_fails_goes_on_failing(facts: dict[str, Any]) -> None:
    assert after_a_look_at_envoy(failed(**facts)).delivery_problem == FULL
