"""Delta: what is sent, what is taken away, and what the client says it has."""

from __future__ import annotations

import pytest

from meshc.delivery.xds.protocol.stream import Stream
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER
from tests.delivery.xds.streams import RELEASE_S, Client, names_in, resource, snapshot


def _client(**names: str) -> Client:
    return Client(Stream(snapshot=snapshot(**names), is_delta=True))


def test_a_first_request_without_names_gets_everything() -> None:
    (response,) = _client(clusters="a b").ask_delta(CLUSTER)

    assert names_in(response) == ["a", "b"]
    assert [one.version for one in response.resources] == [
        resource(CLUSTER, "a").version,
        resource(CLUSTER, "b").version,
    ]


def test_a_first_request_for_everything_is_answered_even_if_there_is_nothing() -> None:
    (response,) = _client(clusters="a").ask_delta(LISTENER)

    assert names_in(response) == []


def test_only_what_changed_is_sent() -> None:
    client = _client(clusters="a b c")
    client.acknowledge(*client.ask_delta(CLUSTER))

    (response,) = client.publish(snapshot(clusters="a b2 c"))

    assert names_in(response) == ["b"]


def test_what_goes_is_named() -> None:
    client = _client(listeners="a b")
    client.acknowledge(*client.ask_delta(LISTENER))

    (response,) = client.publish(snapshot(listeners="a"))

    assert list(response.removed_resources) == ["b"]
    assert client.acknowledge(response) == []


@pytest.mark.parametrize("waits_s", [5, 0], ids=["aggregated", "of one type"])
def test_a_client_that_comes_back_gets_the_difference_alone(waits_s: int) -> None:
    known = {"a": resource(CLUSTER, "a").version, "b": "old", "gone": "x"}
    client = _client(clusters="a b")
    client.stream.only = None if waits_s else CLUSTER  # it may be about to ask for listeners

    (response,) = client.ask_delta(CLUSTER, known=known)

    assert names_in(response) == ["b"]
    assert list(response.removed_resources) == []
    assert client.acknowledge(response) == []
    if waits_s:
        assert client.wait(waits_s) == []
    assert client.wait(RELEASE_S - 0.5) == []
    (later,) = client.wait(0.5)
    assert (names_in(later), list(later.removed_resources)) == ([], ["gone"])


def test_names_that_do_not_exist_are_silent_until_they_do() -> None:
    client = _client(endpoints="a")
    assert client.ask_delta(ENDPOINT, subscribe=["b"]) == []

    (response,) = client.publish(snapshot(endpoints="a b"))

    assert names_in(response) == ["b"]


@pytest.mark.parametrize("names", [[], ["*"], ["a", "b"]])
def test_who_comes_back_with_all_that_is_current_is_told_nothing(names: list[str]) -> None:
    known = {name: resource(CLUSTER, name).version for name in ("a", "b")}
    client = _client(clusters="a b")

    assert client.ask_delta(CLUSTER, subscribe=names, known=known) == []

    subscription = client.stream.subscriptions[CLUSTER]
    assert subscription.acknowledged_version == subscription.sent_version != ""
    (response,) = client.publish(snapshot(clusters="a b2"))
    assert names_in(response) == ["b"]


def test_a_known_name_that_is_subscribed_again_is_sent_again() -> None:
    client = _client(endpoints="a b")
    client.acknowledge(*client.ask_delta(ENDPOINT, subscribe=["a", "b"]))

    (response,) = client.ask_delta(ENDPOINT, subscribe=["a"])

    assert names_in(response) == ["a"]


def test_an_unsubscribed_name_is_no_longer_sent() -> None:
    client = _client(endpoints="a b")
    client.acknowledge(*client.ask_delta(ENDPOINT, subscribe=["a", "b"]))
    assert client.ask_delta(ENDPOINT, unsubscribe=["a"]) == []

    (response,) = client.publish(snapshot(endpoints="a2 b2"))

    assert names_in(response) == ["b"]


def test_everything_survives_a_name_until_the_star_is_unsubscribed() -> None:
    client = _client(clusters="a b c d")
    client.acknowledge(*client.ask_delta(CLUSTER))
    again = client.ask_delta(CLUSTER, subscribe=["a"])
    assert [names_in(one) for one in again] == [["a"]]
    client.acknowledge(*again)
    (all_four,) = client.publish(snapshot(clusters="a2 b2 c2 d2"))
    assert names_in(all_four) == ["a", "b", "c", "d"]
    client.acknowledge(all_four)

    assert client.ask_delta(CLUSTER, unsubscribe=["*"]) == []
    (rest,) = client.publish(snapshot(clusters="a3 b3 c3 d3"))
    assert names_in(rest) == ["a"]


def test_names_then_the_star_then_names_again() -> None:
    client = _client(clusters="a b c d")
    (first,) = client.ask_delta(CLUSTER, subscribe=["a"])
    assert names_in(first) == ["a"]
    client.acknowledge(first)
    (others,) = client.ask_delta(CLUSTER, subscribe=["*"])
    assert names_in(others) == ["b", "c", "d"]
    client.acknowledge(others)
    client.acknowledge(*client.ask_delta(CLUSTER, subscribe=["b"]))

    client.ask_delta(CLUSTER, unsubscribe=["*"])
    (named,) = client.publish(snapshot(clusters="a2 b2 c2 d2"))

    assert names_in(named) == ["a", "b"]


def test_a_name_unsubscribed_under_the_star_is_sent_again_or_said_to_be_gone() -> None:
    client = _client(clusters="a b")
    client.acknowledge(*client.ask_delta(CLUSTER, subscribe=["*", "a", "missing"]))

    (response,) = client.ask_delta(CLUSTER, unsubscribe=["a", "missing"])

    assert names_in(response) == ["a"]
    assert list(response.removed_resources) == ["missing"]


def test_unsubscribing_everything_does_not_revive_the_legacy_wildcard() -> None:
    client = _client(clusters="a b")
    client.acknowledge(*client.ask_delta(CLUSTER, subscribe=["a"]))
    client.ask_delta(CLUSTER, unsubscribe=["a"])

    assert client.publish(snapshot(clusters="a2 b2")) == []


def test_what_was_refused_is_not_sent_again_until_it_changes() -> None:
    client = _client(clusters="a b")
    client.refuse(*client.ask_delta(CLUSTER))
    assert client.publish(snapshot(clusters="a b")) == []

    (response,) = client.publish(snapshot(clusters="a2 b"))

    assert names_in(response) == ["a"]


def test_what_was_good_is_sent_again_after_a_refusal() -> None:
    client = _client(clusters="a")
    client.acknowledge(*client.ask_delta(CLUSTER))
    client.refuse(*client.publish(snapshot(clusters="a2")))

    (response,) = client.publish(snapshot(clusters="a"))

    assert names_in(response) == ["a"]


def test_something_refused_that_goes_is_named_as_gone() -> None:
    client = _client(listeners="a b")
    client.acknowledge(*client.ask_delta(LISTENER))
    client.refuse(*client.publish(snapshot(listeners="a2 b")))

    (response,) = client.publish(snapshot(listeners="b"))

    assert list(response.removed_resources) == ["a"]


def test_what_was_refused_and_went_is_tried_again_when_it_comes_back() -> None:
    client = _client(listeners="a b")
    client.refuse(*client.ask_delta(LISTENER))
    client.acknowledge(*client.publish(snapshot(listeners="b")))

    (response,) = client.publish(snapshot(listeners="a b"))

    assert names_in(response) == ["a"]


def test_what_was_refused_is_sent_to_who_asks_for_it_once_more() -> None:
    client = _client(endpoints="a b")
    client.refuse(*client.ask_delta(ENDPOINT, subscribe=["a", "b"]))

    (response,) = client.ask_delta(ENDPOINT, subscribe=["a"])

    assert names_in(response) == ["a"]


def test_nothing_more_is_sent_before_the_answer() -> None:
    client = _client(clusters="a")
    (first,) = client.ask_delta(CLUSTER)
    assert client.publish(snapshot(clusters="a2")) == []
    assert client.publish(snapshot(clusters="a3")) == []

    (second,) = client.acknowledge(first)

    assert second.resources[0].version == resource(CLUSTER, "a", "3").version
