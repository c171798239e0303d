"""Following services in Consul: what changes what is known, what does not, and how often."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.agent.health.follower import Follower
from tests.consul.model import ModelConsul, Question, endless, hang_up, raw, status
from tests.delivery.health.entries import Entry, entry
from tests.delivery.live import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.consul.model import Trouble
    from tests.consul.server import ConsulServer

HIDDEN = {"x-consul-results-filtered-by-acls": "true"}


class HealthModel(ModelConsul):
    """Says of every service what it is told to; never holds an answer back."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = [entry("10.0.0.1")]

    def answer(self, question: Question) -> tuple[int, Any]:
        assert question.path.startswith("/v1/health/service/")
        return 200, self.entries


@pytest.fixture
def model() -> Iterator[HealthModel]:
    with HealthModel() as found:
        yield found


@pytest.fixture
def following() -> Iterator[Callable[..., Follower]]:
    """Followers that end with the test; each remembers the moments that it told."""
    with contextlib.ExitStack() as stack:

        def made(consul: ModelConsul | ConsulServer, told: list[float] | None) -> Follower:
            with consul.client() as client:  # for its settings
                settings = client._transport._settings
            follower = Follower(replace(settings, timeout=5), None if told is None else told.append)
            stack.callback(follower.close)
            return follower

        yield made


def passing(follower: Follower, service: str = "app") -> list[str] | None:
    found = follower.know(service).instances
    if found is None:
        return None
    return [str(one.address) for one in found if one.is_passing]


def test_news_are_told_and_known_from_then_on(
    model: HealthModel, following: Callable[..., Follower]
) -> None:
    told: list[float] = []
    follower = following(model, told)
    assert follower.know("app").instances is None
    until(lambda: len(told) == 1, "the first word")
    assert passing(follower) == ["10.0.0.1:80"]

    model.entries = [entry("10.0.0.1"), entry("10.0.0.2")]

    until(lambda: len(told) == 2, "news")
    assert passing(follower) == ["10.0.0.1:80", "10.0.0.2:80"]


def test_what_means_nothing_to_endpoints_is_not_told(
    model: HealthModel, following: Callable[..., Follower]
) -> None:
    told: list[float] = []
    follower = following(model, told)
    follower.know("app")
    until(lambda: len(told) == 1, "the first word")

    asked = len(model.questions)
    changed = entry("10.0.0.1")
    changed["Checks"][1]["Output"] = "all is well, once more"
    model.entries = [changed]
    until(lambda: len(model.questions) > asked + 3, "more answers")

    assert len(told) == 1


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (status(403, "Permission denied"), "denied"),
        (status(500, "No cluster leader"), "No cluster leader"),
        (hang_up, "does not answer"),
        (raw(b"{}"), "answers"),
        (raw(b"[1]"), "answers"),
        (raw(b'[{"Node": NaN}]'), "answers"),
        (raw(b"[]"), 'Consul knows no instance of "app"'),
        (raw(b"[]", headers=HIDDEN), "may not see all instances"),
        (raw(json.dumps([entry("10.0.0.2")]).encode(), headers=HIDDEN), "may not see all"),
        (
            raw(json.dumps([entry(f"10.0.{n // 250}.{n % 250}") for n in range(1_001)]).encode()),
            "1,001 instances",
        ),
        (endless(64 << 20, []), "more than"),
    ],
    ids=[
        *("denied", "no leader", "hangs up", "no list", "no objects", "no number", "none"),
        *("none is shown", "some are hidden", "too many", "endless"),
    ],
)
def test_what_is_no_word_changes_only_what_is_said_about_it(
    model: HealthModel, following: Callable[..., Follower], trouble: Trouble, words: str
) -> None:
    told: list[float] = []
    follower = following(model, told)
    follower.know("app")
    until(lambda: len(told) == 1, "the first word")

    model.always = trouble

    until(lambda: words in follower.know("app").problem, f"a problem: {words}")
    assert passing(follower) == ["10.0.0.1:80"]
    assert len(told) == 1


def test_after_trouble_it_goes_on(model: HealthModel, following: Callable[..., Follower]) -> None:
    told: list[float] = []
    model.always = hang_up
    follower = following(model, told)
    until(lambda: bool(follower.know("app").problem), "a problem")
    assert follower.know("app").instances is None

    model.always = None

    until(lambda: passing(follower) == ["10.0.0.1:80"], "what it is now")
    assert follower.know("app").problem == ""


@pytest.mark.consul
def test_a_check_that_flaps_is_told_at_most_once_in_a_while(
    consul_dev: ConsulServer, following: Callable[..., Follower]
) -> None:
    told: list[float] = []
    follower = following(consul_dev, told)
    follower.know("flapping")
    with consul_dev.client() as client:
        for state in itertools.cycle(("passing", "critical")):
            client.catalog_register(
                {
                    "Node": "flap-1",
                    "Address": "10.1.1.1",
                    "Service": {"ID": "flapping", "Service": "flapping", "Port": 80},
                    "Checks": [
                        {"Node": "flap-1", "CheckID": "f", "ServiceID": "flapping", "Status": state}
                    ],
                }
            )
            if len(told) >= 3:
                break
        client.catalog_deregister("flap-1")

    gaps = [later - earlier for earlier, later in itertools.pairwise(told)]
    assert min(gaps) >= 1.0


def test_between_two_tellings_what_is_known_stays_as_it_was(
    model: HealthModel, following: Callable[..., Follower]
) -> None:
    """Else whoever asks for another reason would change endpoints as often as checks flap."""
    told: list[float] = []
    follower = following(model, told)
    follower.know("app")
    until(lambda: len(told) == 1, "the first word")
    follower._told_at += 3.0  # so that there is time

    model.entries = [entry("10.0.0.2")]
    until(lambda: follower._heard["app"][0].told == "10.0.0.2:80", "an answer")

    assert passing(follower) == ["10.0.0.1:80"]
    until(lambda: len(told) == 2, "news")
    assert passing(follower) == ["10.0.0.2:80"]


def test_what_comes_back_in_time_is_no_news(
    model: HealthModel, following: Callable[..., Follower]
) -> None:
    told: list[float] = []
    follower = following(model, told)
    follower.know("app")
    until(lambda: len(told) == 1, "the first word")
    follower._told_at += 5.0  # so that there is time

    model.entries = [entry("10.0.0.1", status="critical")]
    until(lambda: not follower._heard["app"][0].is_passing, "an answer")
    model.entries = [entry("10.0.0.1")]
    until(lambda: follower._heard["app"][0].is_passing, "an answer")
    assert follower._timer is not None
    follower._timer.join()

    assert len(told) == 1


def test_what_is_not_needed_any_more_is_not_asked_for(
    model: HealthModel, following: Callable[..., Follower]
) -> None:
    follower = following(model, [])
    for service in ("app", "store"):
        follower.know(service)
    until(lambda: len(model.questions) >= 4, "questions about both")

    follower.keep({"app"})

    watch_has_ended = lambda: "health-store" not in _threads()  # noqa: E731, said once
    until(watch_has_ended, "one watch less")
    assert "health-app" in _threads()


def _threads() -> set[str]:
    import threading  # noqa: PLC0415, here alone

    return {one.name for one in threading.enumerate()}


def test_the_first_word_is_waited_for_and_no_longer(
    model: HealthModel, following: Callable[..., Follower]
) -> None:
    follower = following(model, [])

    follower.await_first({"app"}, 30.0)

    assert passing(follower) == ["10.0.0.1:80"]
    model.always = hang_up
    follower.await_first({"store"}, 30.0)
    assert follower.know("store").instances is None
    assert follower.know("store").problem


def test_without_anybody_to_tell_whoever_asks_gets_an_answer_at_once(
    model: HealthModel, following: Callable[..., Follower]
) -> None:
    follower = following(model, None)

    assert passing(follower) == ["10.0.0.1:80"]
    assert not {"health-app"} & _threads()


def test_one_that_does_not_answer_is_waited_for_once(
    model: HealthModel, following: Callable[..., Follower]
) -> None:
    model.always = hang_up
    follower = following(model, None)

    for service in ("app", "store", "cart"):
        assert follower.know(service).instances is None

    assert len({one.path for one in model.questions}) == 1


def test_an_end_ends_every_watch(model: HealthModel, following: Callable[..., Follower]) -> None:
    follower = following(model, [])
    follower.know("app")
    until(lambda: bool(model.questions), "a question")

    follower.close()

    until(lambda: "health-app" not in _threads(), "the end of the watch")
