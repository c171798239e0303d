"""How often Envoy is asked while something is waited for."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent import confirm

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """A clock that only moves when somebody sleeps or asks."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(confirm, "time", clock)
    return clock


def asking(clock: Clock, cost_s: float, until_s: float, *, due_s: float = 0.0) -> Iterator[float]:
    """Ask, at a cost, until so much time has passed; yields each pause that followed."""
    for _ in confirm.pauses(due_s):
        if clock.now >= until_s:
            return
        clock.now += cost_s
        yield clock.slept[-1] if clock.slept else 0.0


@pytest.mark.parametrize(("after_s", "most_s"), [(0.05, 0.001), (1.0, 0.0101), (60.0, 0.05)])
def test_what_is_waited_for_is_noticed_soon_as_measured_by_the_wait(
    clock: Clock, after_s: float, most_s: float
) -> None:
    list(asking(clock, 0.0005, after_s))

    assert max(clock.slept) <= most_s


@pytest.mark.parametrize("due_s", [1.0, 60.0])
def test_what_was_to_be_expected_then_is_noticed_at_once(clock: Clock, due_s: float) -> None:
    asked = [clock.now for _ in asking(clock, 0.0005, due_s + 0.05, due_s=due_s)]

    around = [moment for moment in asked if due_s - 0.001 <= moment]
    assert around[0] <= due_s + 0.0011
    steps = [then - now for now, then in itertools.pairwise(around)]
    assert max(steps) <= 0.0016


def test_waiting_for_what_is_due_asks_no_oftener_until_then(clock: Clock) -> None:
    before = sum(1 for _ in asking(clock, 0.0005, 0.9))
    clock.now = 0.0

    assert sum(1 for _ in asking(clock, 0.0005, 0.9, due_s=1.0)) == before


def test_what_does_not_come_when_it_was_expected_is_asked_for_ever_less_often(
    clock: Clock,
) -> None:
    list(asking(clock, 0.0005, 20.0, due_s=1.0))

    assert clock.slept[-1] == 0.05


def test_a_long_wait_asks_no_oftener_than_twenty_times_a_second(clock: Clock) -> None:
    list(asking(clock, 0.0005, 10.0))

    assert clock.slept[-1] == 0.05


def test_an_envoy_to_which_answers_are_dear_gets_twice_their_time_to_itself(clock: Clock) -> None:
    list(asking(clock, 0.04, 2.0))

    assert min(clock.slept) == pytest.approx(0.08)


def test_even_an_envoy_that_answers_after_a_second_is_asked_again_soon(clock: Clock) -> None:
    list(asking(clock, 1.0, 20.0))

    assert max(clock.slept) <= 0.2
