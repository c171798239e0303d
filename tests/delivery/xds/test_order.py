"""Make before break on an aggregated stream, in both variants of the protocol."""

from __future__ import annotations

from typing import Any

import pytest

from meshc.delivery.xds.protocol.stream import Stream
from meshc.delivery.xds.protocol.types import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    SHORT_NAMES,
    TypeUrl,
)
from tests.delivery.xds.streams import RELEASE_S, Client, names_in, snapshot

_OLD = {"clusters": "a", "endpoints": "e-a", "listeners": "l", "routes": "r"}


class Envoy(Client):
    """Asks as an Envoy does: clusters, their endpoints, listeners, their routes."""

    interest: dict[str, list[str]]

    def start(self) -> None:
        self.interest = {CLUSTER: [], ENDPOINT: ["e-a"], LISTENER: [], ROUTE: ["r"]}
        for type_url in self.interest:
            for response in self._ask(TypeUrl(type_url)):
                self.accept(response)

    def _ask(self, type_url: TypeUrl) -> list[Any]:
        names = self.interest[type_url]
        if self.stream.is_delta:
            return self.ask_delta(type_url, subscribe=names)
        return self.ask(type_url, *names)

    def accept(self, response: Any) -> list[Any]:
        return self.acknowledge(response, *self.interest[response.type_url])

    def watch_endpoints(self, *names: str) -> list[Any]:
        """Take an interest in endpoints of clusters that have just come."""
        new = [name for name in names if name not in self.interest[ENDPOINT]]
        self.interest[ENDPOINT] += new
        if self.stream.is_delta:
            return self.ask_delta(ENDPOINT, subscribe=new)
        return self.ask(ENDPOINT, *self.interest[ENDPOINT])


@pytest.fixture(params=[False, True], ids=["whole", "delta"])
def envoy(request: pytest.FixtureRequest) -> Envoy:
    client = Envoy(Stream(snapshot=snapshot(**_OLD), is_delta=request.param))
    client.start()
    return client


def _types(responses: list[Any]) -> list[str]:
    return [SHORT_NAMES[TypeUrl(one.type_url)] for one in responses]


def test_a_new_dependency_comes_clusters_endpoints_listeners_routes(envoy: Envoy) -> None:
    (clusters,) = envoy.publish(
        snapshot(clusters="a b", endpoints="e-a e-b", listeners="l2", routes="r2")
    )
    assert clusters.type_url == CLUSTER

    assert envoy.accept(clusters) == []
    (endpoints,) = envoy.watch_endpoints("e-b")
    assert names_in(endpoints) == ["e-b"]
    (listeners,) = envoy.accept(endpoints)
    assert listeners.type_url == LISTENER
    (routes,) = envoy.accept(listeners)
    assert routes.type_url == ROUTE
    assert envoy.accept(routes) == []


def test_an_envoy_that_answers_clusters_when_they_have_endpoints_gets_these_first(
    envoy: Envoy,
) -> None:
    (clusters,) = envoy.publish(
        snapshot(clusters="a b", endpoints="e-a e-b", listeners="l2", routes="r2")
    )

    (endpoints,) = envoy.watch_endpoints("e-b")
    assert names_in(endpoints) == ["e-b"]
    assert envoy.accept(endpoints) == []  # listeners wait until the clusters are warm

    (listeners,) = envoy.accept(clusters)
    assert listeners.type_url == LISTENER


def test_endpoints_do_not_come_before_the_clusters_that_they_were_changed_with(
    envoy: Envoy,
) -> None:
    clusters, endpoints = envoy.publish(snapshot(**_OLD | {"clusters": "a2"}))
    envoy.accept(endpoints)

    assert envoy.publish(snapshot(**_OLD | {"clusters": "a3", "endpoints": "e-a3"})) == []

    assert _types(envoy.accept(clusters)) == ["CDS", "EDS"]


def test_a_cluster_that_goes_stays_until_nothing_uses_it(envoy: Envoy) -> None:
    responses = envoy.publish(snapshot(clusters="b", endpoints="e-b", listeners="l2", routes="r2"))
    (clusters,) = responses
    assert "a" not in list(getattr(clusters, "removed_resources", []))
    if not envoy.stream.is_delta:
        assert names_in(clusters) == ["a", "b"]
    envoy.accept(clusters)
    (endpoints,) = envoy.watch_endpoints("e-b")
    (listeners,) = envoy.accept(endpoints)
    (routes,) = envoy.accept(listeners)
    assert envoy.wait(RELEASE_S * 2) == []  # not while the routes are not accepted
    assert envoy.accept(routes) == []
    assert envoy.wait(RELEASE_S - 1) == []

    gone = envoy.wait(1)

    assert _types(gone)[0] == "CDS"
    if envoy.stream.is_delta:
        assert list(gone[0].removed_resources) == ["a"]
    else:
        assert names_in(gone[0]) == ["b"]


def test_a_cluster_stays_as_long_as_the_client_refuses_the_listeners(envoy: Envoy) -> None:
    (listeners,) = envoy.publish(snapshot(listeners="l2", routes="r"))
    envoy.refuse(listeners)

    assert envoy.wait(RELEASE_S * 10) == []


def test_a_cluster_that_comes_back_is_not_taken_away(envoy: Envoy) -> None:
    (listeners,) = envoy.publish(snapshot(listeners="l2", routes="r"))
    envoy.accept(listeners)
    envoy.publish(snapshot(**_OLD | {"listeners": "l2"}))

    assert envoy.wait(RELEASE_S * 2) == []


def test_endpoints_are_sent_again_for_a_cluster_that_was_rebuilt(envoy: Envoy) -> None:
    clusters, endpoints = envoy.publish(snapshot(**_OLD | {"clusters": "a2"}))

    assert _types([clusters, endpoints]) == ["CDS", "EDS"]
    assert names_in(endpoints) == ["e-a"]
    assert envoy.accept(endpoints) == []
    assert envoy.accept(clusters) == []


@pytest.mark.parametrize("is_delta", [False, True], ids=["whole", "delta"])
def test_endpoints_are_sent_again_to_who_comes_back_to_other_clusters(*, is_delta: bool) -> None:
    before, now = snapshot(**_OLD), snapshot(**_OLD | {"clusters": "a2"})
    client = Client(Stream(snapshot=now, is_delta=is_delta))

    def ask(type_url: TypeUrl, *names: str) -> list[Any]:
        had = before.of(type_url)
        if not is_delta:
            return client.ask(type_url, *names, version=had.version)
        known = {name: one.version for name, one in had.resources.items()}
        return client.ask_delta(type_url, subscribe=names, known=known)

    assert _types(ask(CLUSTER)) == ["CDS"]
    (endpoints,) = ask(ENDPOINT, "e-a")

    assert names_in(endpoints) == ["e-a"]


def _comes_back(envoy: Envoy, *types: TypeUrl) -> dict[TypeUrl, list[Any]]:
    """Ask as a client that has what was current at first; returns what comes."""
    old = snapshot(**_OLD)
    found = {}
    for type_url in types:
        known = {name: one.version for name, one in old.of(type_url).resources.items()}
        names = envoy.interest[type_url]
        found[type_url] = envoy.ask_delta(type_url, subscribe=names, known=known)
    return found


def test_what_is_gone_stays_with_who_comes_back_until_nothing_uses_it() -> None:
    """Over delta; the state of the world does not say what a client has."""
    new = snapshot(clusters="b", endpoints="e-b", listeners="l2", routes="r2")
    envoy = Envoy(Stream(snapshot=new, is_delta=True))
    envoy.interest = {CLUSTER: [], ENDPOINT: ["e-a"], LISTENER: [], ROUTE: ["r"]}

    found = _comes_back(envoy, CLUSTER, ENDPOINT, LISTENER, ROUTE)

    (clusters,) = found.pop(CLUSTER)
    assert (names_in(clusters), list(clusters.removed_resources)) == (["b"], [])
    assert not any(found.values())
    (endpoints,) = envoy.watch_endpoints("e-b")
    assert list(endpoints.removed_resources) == []
    envoy.accept(endpoints)
    (listeners,) = envoy.accept(clusters)
    (routes,) = envoy.accept(listeners)
    assert envoy.wait(RELEASE_S * 2) == []  # not while the routes are not accepted
    assert envoy.accept(routes) == []
    assert envoy.wait(RELEASE_S - 1) == []

    gone = {one.type_url: list(one.removed_resources) for one in envoy.wait(1)}

    assert gone == {CLUSTER: ["a"], ENDPOINT: ["e-a"]}


def test_what_was_gone_and_is_wanted_again_is_sent_and_stays() -> None:
    envoy = Envoy(Stream(snapshot=snapshot(clusters="b"), is_delta=True))
    envoy.interest = {CLUSTER: []}
    (clusters,) = _comes_back(envoy, CLUSTER)[CLUSTER]
    envoy.accept(clusters)

    (again,) = envoy.publish(snapshot(clusters="a b"))

    assert names_in(again) == ["a"]
    envoy.accept(again)
    assert envoy.wait(RELEASE_S * 2) == []


def test_listeners_come_late_to_a_client_that_never_asks_for_endpoints(envoy: Envoy) -> None:
    (clusters,) = envoy.publish(
        snapshot(clusters="a b", endpoints="e-a e-b", listeners="l2", routes="r")
    )
    assert envoy.accept(clusters) == []

    late = envoy.wait(5)

    assert _types(late) == ["LDS"]


def test_an_endpoint_change_is_sent_alone(envoy: Envoy) -> None:
    (response,) = envoy.publish(snapshot(**_OLD | {"endpoints": "e-a2"}))

    assert names_in(response) == ["e-a"]


def test_a_client_that_starts_with_listeners_gets_them() -> None:
    client = Client(Stream(snapshot=snapshot(**_OLD), is_delta=False))

    (response,) = client.ask(LISTENER, "l")

    assert names_in(response) == ["l"]


def test_the_stream_wakes_when_something_is_due(envoy: Envoy) -> None:
    (listeners,) = envoy.publish(snapshot(listeners="l2", routes="r"))
    envoy.accept(listeners)
    released = envoy.now + RELEASE_S

    assert envoy.wait(10) == []

    assert envoy.stream.wake_at() == released


def test_what_comes_due_right_after_a_look_is_not_missed() -> None:
    client = Client(Stream(snapshot=snapshot(**_OLD), is_delta=False))
    began = client.now
    (clusters,) = client.ask(CLUSTER)
    client.now += 0.25
    client.acknowledge(clusters)
    assert client.ask(LISTENER) == [], "they wait for endpoints, which nobody asks for"

    client.now = began + 5
    assert client.wait(0) == []

    # However long the look has taken, and whatever time it is by now.
    assert client.stream.wake_at() == began + 5.25
    assert _types(client.wait(0.25)) == ["LDS"]
    assert client.stream.wake_at() == client.now + 5, "the answer may not come"
