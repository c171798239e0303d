"""What the status says about a state, for a reader at three in the morning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.ledger import Ledger, Refusal
from meshc.delivery.agent.machine import step
from meshc.delivery.agent.render import render_status
from meshc.delivery.agent.state import Problem, Rhythm, State
from meshc.delivery.agent.status import Shown, describe, word_of

GOOD = "a" * 64
NEW = "b" * 64
WELL = State(
    rhythm=Rhythm(),
    ledger=Ledger(good=GOOD, is_accepted=True),
    latest=GOOD,
    is_whole=True,
    is_confirmed=True,
    is_up=True,
)


def shown(state: State) -> str:
    facts = Shown(node="n1", source="/out", target="/envoy", started=0.0)
    status = describe(state, facts, since=0.0)
    return render_status(status, is_running=True, room=None, now=status["updated"])


def test_when_all_is_well_the_first_line_says_so() -> None:
    assert shown(WELL).splitlines()[0] == "OK: generation aaaaaaaaaaaa runs, confirmed by Envoy"


def test_clusters_that_were_left_for_later_are_shown_until_they_are_gone() -> None:
    delivering = replace(
        WELL,
        ledger=replace(WELL.ledger, intent=NEW),
        latest=NEW,
        job=ev.Deliver(generation=NEW),
    )

    untidy, _ = step(delivering, ev.Delivered(at=1.0, generation=NEW, is_untidy=True))
    tidied, _ = step(
        replace(untidy, job=ev.Deliver(generation=NEW)), ev.Delivered(at=40.0, generation=NEW)
    )

    assert "leftovers" in shown(untidy)
    assert "leftovers" not in shown(tidied)


@pytest.mark.parametrize(
    ("state", "word", "said", "todo"),
    [
        (replace(WELL, is_up=False), "envoy-down", "ENVOY DOES NOT ANSWER", "start Envoy"),
        (
            replace(
                WELL,
                latest=NEW,
                ledger=replace(
                    WELL.ledger,
                    quarantine={NEW: Refusal(reason="no such port", place="app.yaml:3:1")},
                ),
            ),
            "quarantined",
            "REFUSED: generation bbbbbbbbbbbb from app.yaml:3:1: no such port",
            "mend app.yaml:3:1",
        ),
        (
            replace(WELL, latest=NEW, held={NEW: "endpoints shrink"}),
            "held",
            "HELD: generation bbbbbbbbbbbb is not delivered, because endpoints shrink",
            "meshc agent allow bbbbbbbbbbbb",
        ),
        (
            replace(WELL, ledger=replace(WELL.ledger, paused="rolling kernels")),
            "paused",
            "PAUSED: rolling kernels. Generation aaaaaaaaaaaa runs",
            "meshc agent resume",
        ),
        (
            replace(
                WELL, delivery_problem=Problem(text="the disk is full", hint="make room on it")
            ),
            "failing",
            "FAILING: the disk is full; it is tried again",
            "make room on it",
        ),
        (
            replace(
                WELL, source_failures=2, source_problem=Problem(text="no route", hint="see ip r")
            ),
            "source-failing",
            "SOURCE FAILING: no route (2 times). Generation aaaaaaaaaaaa runs",
            "see ip r",
        ),
    ],
    ids=["envoy-down", "quarantined", "held", "paused", "failing", "source-failing"],
)
def test_each_trouble_has_a_word_a_line_and_something_to_do(
    state: State, word: str, said: str, todo: str
) -> None:
    found = word_of(state)

    assert found.state == word
    assert found.summary.startswith(said)
    assert todo in found.todo
    assert shown(state).splitlines()[0] == found.summary


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "app for front: 2 of 3 used; 2 of 3 pass in Consul; not 10.0.0.7:80 (app3)"),
        (
            {"known": 9, "left_out": ["10.0.0.7:80"]},
            "app for front: 2 of 9 used; 2 of 9 pass in Consul; not 10.0.0.7:80 and 6 more",
        ),
        (
            {"used": 3, "passing": 0, "panic": True, "left_out": []},
            "app for front: PANIC, all 3 used; 0 of 3 pass in Consul",
        ),
        (
            {"passing": None, "left_out": [], "known": 2, "problem": "Consul does not answer"},
            "app for front: 2 of 2 used; AS BEFORE, because Consul does not answer",
        ),
        (
            {"known": 2, "left_out": [], "refused": ["db:80 (no IP address and port)"]},
            (
                "app for front: 2 of 2 used; 2 of 2 pass in Consul; "
                "not believed: db:80 (no IP address and port)"
            ),
        ),
    ],
    ids=["some are used", "many are not", "panic", "nothing new", "not believed"],
)
def test_the_hosts_of_a_dependency_that_follows_health_are_shown(
    facts: dict[str, object], line: str
) -> None:
    one: dict[str, object] = {
        "service": "app",
        "consumer": "front",
        "only_in_consul": False,
        "known": 3,
        "passing": 2,
        "used": 2,
        "panic": False,
        "left_out": ["10.0.0.7:80 (app3)"],
        "refused": [],
        "problem": "",
    }
    told = Shown(node="n1", source="/out", target="/envoy", started=0.0, endpoints=[one | facts])
    status = describe(WELL, told, since=0.0)

    text = render_status(status, is_running=True, room=None, now=status["updated"])

    assert f"  endpoints     {line}\n" in text
