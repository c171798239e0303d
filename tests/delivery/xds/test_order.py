"""Make before break on an aggregated stream, in both variants of the protocol."""

from __future__ import annotations

from typing import Any

import pytest

from meshc.delivery.xds.stream import Stream
from meshc.delivery.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, SHORT_NAMES, TypeUrl
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
    (clusters,) = envoy.publish(snapshot(**_OLD | {"clusters": "a2"}))

    (endpoints,) = envoy.accept(clusters)

    assert names_in(endpoints) == ["e-a"]


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

    assert envoy.stream.wake_at(envoy.now + 10) == envoy.now + RELEASE_S
