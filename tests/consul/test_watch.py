"""Following a thing: the rules about the index, speed and pauses, with time in our hands."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from meshc.consul.errors import ConsulDeniedError, ConsulError, ConsulUnreachableError
from meshc.consul.reading import Reply
from meshc.consul.watch import Heard, Missed, follow

if TYPE_CHECKING:
    from collections.abc import Callable

Told = Reply[str] | ConsulError


@dataclass
class Timeless:
    """A client for which waiting costs nothing; its clock is what `follow` reads."""

    now: float = 0.0
    rests: list[float] = field(default_factory=list)
    marks: list[object] = field(default_factory=list)
    is_over: bool = False

    def is_closed(self) -> bool:
        return self.is_over

    def rest(self, seconds: float) -> bool:
        self.rests.append(seconds)
        self.now += seconds
        return self.is_over

    def token_mark(self) -> object:
        return self.marks.pop(0) if self.marks else None


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Timeless:
    made = Timeless()
    monkeypatch.setattr("meshc.consul.watch.time.monotonic", lambda: made.now)
    return made


def told(*values: Told) -> tuple[Callable[[int, float], Reply[str]], list[tuple[int, float]]]:
    """A Consul that says these things in turn, the last for ever, and what it was asked."""
    asked: list[tuple[int, float]] = []
    coming = itertools.chain(values, itertools.repeat(values[-1]))

    def ask(index: int, wait: float) -> Reply[str]:
        asked.append((index, wait))
        found = next(coming)
        if isinstance(found, ConsulError):
            raise found
        return found

    return ask, asked


def said(value: str, index: int) -> Reply[str]:
    return Reply(value=value, index=index)


def take(client: Timeless, ask: Callable[[int, float], Reply[str]], count: int) -> list[object]:
    return list(itertools.islice(follow(client, ask, wait=60, chance=lambda: 1.0), count))


def test_the_next_question_waits_for_a_change_after_the_last_answer(client: Timeless) -> None:
    ask, asked = told(said("a", 5), said("b", 9))
    found = take(client, ask, 3)
    assert [index for index, _ in asked] == [0, 5, 9]
    assert [one.is_new for one in found if isinstance(one, Heard)] == [True, True, False]


def test_an_index_that_goes_backwards_starts_over(client: Timeless) -> None:
    ask, asked = told(said("a", 50), said("b", 7), said("c", 8))
    take(client, ask, 4)
    assert [index for index, _ in asked] == [0, 50, 0, 8]


def test_an_index_of_zero_is_never_waited_for(client: Timeless) -> None:
    ask, asked = told(said("a", 0))
    take(client, ask, 4)
    assert [index for index, _ in asked] == [0, 0, 0, 0]


@pytest.mark.parametrize("index", [0, 7], ids=["index 0", "the same index for ever"])
def test_answers_that_bring_nothing_are_asked_for_once_a_second_at_last(
    client: Timeless, index: int
) -> None:
    ask, asked = told(said("a", index))
    take(client, ask, 100)
    assert client.rests[0] == pytest.approx(0.1)
    assert client.rests[-1] == pytest.approx(1.0)
    assert len(asked) == 100


def test_never_more_than_ten_questions_a_second_however_much_changes(client: Timeless) -> None:
    ask, asked = told(*(said(str(number), number) for number in range(1, 201)))
    take(client, ask, 200)
    assert len(asked) / client.now <= 10.1


def test_pauses_double_up_to_a_minute_and_never_end(client: Timeless) -> None:
    ask, _ = told(ConsulUnreachableError("gone"))
    found = take(client, ask, 40)
    pauses = [one.pause for one in found if isinstance(one, Missed)]
    assert pauses[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert pauses[7:] == [60] * 33


def test_pauses_are_drawn_from_the_whole_range_so_that_agents_do_not_return_together(
    client: Timeless,
) -> None:
    ask, _ = told(ConsulUnreachableError("gone"))
    draws = iter([0.5, 0.0, 0.5, 0.25, 0.5, 1.0])  # a wait and a pause a question
    found = list(itertools.islice(follow(client, ask, chance=lambda: next(draws)), 3))
    assert [one.pause for one in found if isinstance(one, Missed)] == [0.0, 0.5, 4.0]
    assert min(client.rests) >= 0.1


def test_after_a_failure_everything_is_asked_anew_and_pauses_start_over(client: Timeless) -> None:
    gone = ConsulUnreachableError("gone")
    ask, asked = told(said("a", 5), gone, gone, said("a", 3), gone)
    found = take(client, ask, 5)
    assert [index for index, _ in asked] == [0, 5, 0, 0, 3]
    assert [one.pause for one in found if isinstance(one, Missed)] == [1, 2, 1]
    assert [one.is_new for one in found if isinstance(one, Heard)] == [True, False]


def test_waits_differ_so_that_agents_do_not_ask_together(client: Timeless) -> None:
    ask, asked = told(said("a", 5))
    draws = itertools.cycle([0.0, 0.5, 1.0])
    list(itertools.islice(follow(client, ask, wait=60, chance=lambda: next(draws)), 3))
    assert [wait for _, wait in asked] == [60, 57, 54]


def test_a_new_token_ends_the_pause_after_a_denial(client: Timeless) -> None:
    ask, _ = told(ConsulDeniedError("no"), said("a", 1))
    client.marks = ["old", "old", "old", "new"]
    found = take(client, ask, 2)
    assert isinstance(found[0], Missed)
    assert found[0].pause == 8
    assert client.now == pytest.approx(3)
    assert isinstance(found[1], Heard)


def test_a_denial_without_a_new_token_lasts_as_long_as_its_pause(client: Timeless) -> None:
    ask, _ = told(ConsulDeniedError("no"), said("a", 1))
    take(client, ask, 2)
    assert client.now == pytest.approx(8)


def test_a_closed_client_ends_it(client: Timeless) -> None:
    def ask(_index: int, _wait: float) -> Reply[str]:
        client.is_over = True
        raise ConsulUnreachableError("closed")

    assert list(follow(client, ask)) == []
