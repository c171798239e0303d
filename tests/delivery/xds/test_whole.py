"""State of the world: what a client gets, and when it gets nothing."""

from __future__ import annotations

import pytest

from meshc.delivery.xds.protocol.stream import ProtocolError, Stream
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, TypeUrl
from tests.delivery.xds.streams import Client, contents_in, names_in, snapshot


def _client(**names: str) -> Client:
    return Client(Stream(snapshot=snapshot(**names), is_delta=False))


def test_a_request_without_names_gets_everything() -> None:
    (response,) = _client(clusters="a b").ask(CLUSTER)

    assert names_in(response) == ["a", "b"]
    assert response.type_url == CLUSTER
    assert response.nonce == "1"


def test_a_node_without_listeners_is_told_so_at_once() -> None:
    (response,) = _client(clusters="a").ask(LISTENER)

    assert names_in(response) == []


def test_an_acknowledgement_is_not_answered() -> None:
    client = _client(clusters="a")
    (response,) = client.ask(CLUSTER)

    assert client.acknowledge(response) == []


def test_equal_content_is_not_sent_again() -> None:
    client = _client(clusters="a")
    client.acknowledge(*client.ask(CLUSTER))

    assert client.publish(snapshot(clusters="a")) == []


def test_changed_content_is_sent_with_another_version() -> None:
    client = _client(clusters="a")
    (first,) = client.ask(CLUSTER)
    client.acknowledge(first)

    (second,) = client.publish(snapshot(clusters="a2"))

    assert contents_in(second) == ["a=2"]
    assert second.version_info != first.version_info


def test_going_back_gives_the_version_of_before() -> None:
    client = _client(clusters="a")
    (first,) = client.ask(CLUSTER)
    client.acknowledge(first)
    client.acknowledge(*client.publish(snapshot(clusters="a2")))

    (third,) = client.publish(snapshot(clusters="a"))

    assert third.version_info == first.version_info


def test_what_changed_twice_before_the_answer_is_sent_once() -> None:
    client = _client(clusters="a")
    (first,) = client.ask(CLUSTER)
    assert client.publish(snapshot(clusters="a2")) == []
    assert client.publish(snapshot(clusters="a3")) == []

    (second,) = client.acknowledge(first)

    assert contents_in(second) == ["a=3"]


def test_a_stale_nonce_is_ignored() -> None:
    client = _client(clusters="a")
    (first,) = client.ask(CLUSTER)
    client.publish(snapshot(clusters="a2"))

    assert client.ask(CLUSTER, nonce="xyz") == []
    (second,) = client.acknowledge(first)
    assert contents_in(second) == ["a=2"]


def test_what_was_refused_is_not_sent_again() -> None:
    client = _client(clusters="a")
    (response,) = client.ask(CLUSTER)

    assert client.refuse(response) == []
    assert client.publish(snapshot(clusters="a")) == []
    assert client.wait(1000) == []


def test_what_was_refused_is_sent_again_when_it_has_changed() -> None:
    client = _client(clusters="a")
    client.refuse(*client.ask(CLUSTER))

    (second,) = client.publish(snapshot(clusters="a2"))

    assert contents_in(second) == ["a=2"]


def test_what_was_good_is_sent_again_after_a_refusal() -> None:
    """A refusal may have been a partial one, so the client may no longer have it."""
    client = _client(clusters="a")
    client.acknowledge(*client.ask(CLUSTER))
    client.refuse(*client.publish(snapshot(clusters="a2")))

    (third,) = client.publish(snapshot(clusters="a"))

    assert contents_in(third) == ["a=1"]


def test_the_reason_of_a_refusal_is_kept_until_something_else_is_accepted() -> None:
    client = _client(clusters="a")
    client.refuse(*client.ask(CLUSTER), reason="bad cluster")
    subscription = client.stream.subscriptions[CLUSTER]
    assert subscription.refusal == "bad cluster"

    client.acknowledge(*client.publish(snapshot(clusters="a2")))

    assert subscription.refusal is None


def test_a_client_that_comes_back_with_what_is_current_gets_nothing() -> None:
    before = _client(clusters="a b")
    (response,) = before.ask(CLUSTER)
    after = _client(clusters="a b")

    assert after.ask(CLUSTER, version=response.version_info, nonce="old") == []


def test_a_client_that_comes_back_with_something_old_gets_what_is_new() -> None:
    before = _client(clusters="a")
    (response,) = before.ask(CLUSTER)
    after = _client(clusters="a2")

    (fresh,) = after.ask(CLUSTER, version=response.version_info)

    assert contents_in(fresh) == ["a=2"]


def test_a_client_gets_what_exists_of_the_names_it_gives() -> None:
    (response,) = _client(endpoints="a b c").ask(ENDPOINT, "a", "c", "nothing")

    assert names_in(response) == ["a", "c"]


def test_names_of_which_none_exists_are_answered_once_one_does() -> None:
    client = _client(endpoints="a")
    assert client.ask(ENDPOINT, "b") == []

    (response,) = client.publish(snapshot(endpoints="a b"))

    assert names_in(response) == ["b"]


def test_only_what_changed_is_sent_of_endpoints() -> None:
    client = _client(endpoints="a b c")
    client.acknowledge(*client.ask(ENDPOINT, "a", "b", "c"), "a", "b", "c")

    (response,) = client.publish(snapshot(endpoints="a b2 c"))

    assert contents_in(response) == ["b=2"]


def test_a_further_name_is_answered_with_what_is_new_alone() -> None:
    client = _client(endpoints="a b")
    client.acknowledge(*client.ask(ENDPOINT, "a"), "a")

    (response,) = client.ask(ENDPOINT, "a", "b")

    assert names_in(response) == ["b"]


def test_a_name_that_was_dropped_and_taken_up_again_is_answered() -> None:
    client = _client(endpoints="a b")
    client.acknowledge(*client.ask(ENDPOINT, "a", "b"), "a", "b")
    assert client.ask(ENDPOINT, "b") == []

    (response,) = client.ask(ENDPOINT, "a", "b")

    assert names_in(response) == ["a"]


def test_no_names_after_names_ask_for_nothing() -> None:
    client = _client(endpoints="a")
    client.acknowledge(*client.ask(ENDPOINT, "a"), "a")
    client.ask(ENDPOINT)

    assert client.publish(snapshot(endpoints="a2 b")) == []


def test_the_star_asks_for_everything_also_after_names() -> None:
    client = _client(clusters="a b")
    (first,) = client.ask(CLUSTER, "a")
    assert names_in(first) == ["a"]
    client.acknowledge(first, "a")

    (second,) = client.ask(CLUSTER, "*")

    assert names_in(second) == ["a", "b"]


def test_the_star_goes_and_a_name_stays() -> None:
    client = _client(clusters="a b")
    client.acknowledge(*client.ask(CLUSTER, "*", "a"), "*", "a")
    client.ask(CLUSTER, "a")

    (response,) = client.publish(snapshot(clusters="a2 b2"))

    assert names_in(response) == ["a"]


def test_without_the_legacy_wildcard_no_names_ask_for_nothing() -> None:
    stream = Stream(snapshot=snapshot(clusters="a"), is_delta=False, has_legacy_wildcard=False)
    client = Client(stream)

    assert client.ask(CLUSTER) == []
    (response,) = client.ask(CLUSTER, "*")
    assert names_in(response) == ["a"]


def test_a_listener_that_goes_is_missing_from_the_next_response() -> None:
    client = _client(listeners="a b")
    client.acknowledge(*client.ask(LISTENER))

    (response,) = client.publish(snapshot(listeners="b"))

    assert names_in(response) == ["b"]


def test_an_aggregated_stream_needs_a_type() -> None:
    with pytest.raises(ProtocolError, match="type URL is required"):
        _client(clusters="a").ask("")


def test_a_stream_of_one_type_refuses_another() -> None:
    client = Client(Stream(snapshot=snapshot(clusters="a"), is_delta=False, only=CLUSTER))

    with pytest.raises(ProtocolError, match="this stream is for"):
        client.ask(LISTENER)


def test_a_stream_of_one_type_knows_its_type() -> None:
    client = Client(Stream(snapshot=snapshot(clusters="a"), is_delta=False, only=CLUSTER))

    (response,) = client.ask("")

    assert response.type_url == CLUSTER


def test_an_unknown_type_is_no_mistake() -> None:
    client = _client(clusters="a")

    assert client.ask(TypeUrl("type.googleapis.com/some.Thing"), "x") == []
    assert client.ask(ROUTE, "r") == []
