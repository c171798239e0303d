"""What a node and a service must run, and which parts of that are one object for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.model.mesh import Address, Locality, NodeId, ServiceName
from meshc.plan.node import plan_node
from meshc.plan.service import SharedPlans
from meshc.plan.types import Direction, ListenerPlan
from tests.model.reading import calls, good, host, linked, service

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.plan.types import NodePlan

INBOUND, OUTBOUND = Direction.INBOUND, Direction.OUTBOUND
OVERRIDE = "  timeouts: {request: 3s}\n"
APP = service(host("app1"), host("app2", "10.0.0.2"))


def plans(folder: Path, texts: dict[str, str]) -> SharedPlans:
    return SharedPlans(good(folder, texts))


def node(shared: SharedPlans, name: str) -> NodePlan:
    return plan_node(shared.mesh.nodes[NodeId(name)], shared)


def summary(listener: ListenerPlan) -> tuple[Direction, str, str | None, str, str]:
    """Direction, service, caller, address, place."""
    return (
        listener.direction,
        listener.service,
        listener.consumer,
        str(listener.bind),
        str(listener.origin.span),
    )


def test_a_node_accepts_traffic_and_takes_calls(tmp_path: Path) -> None:
    front = service(host("front1", "10.0.0.3", "  egressHost: 127.0.0.2\n"), more=calls("app"))
    shared = plans(tmp_path, {"app.yaml": APP, "front.yaml": front})

    plan = node(shared, "front1")

    assert [summary(listener) for listener in plan.listeners] == [
        (INBOUND, "front", None, "10.0.0.3:80", "front.yaml:3:3"),
        (OUTBOUND, "app", "front", "127.0.0.2:9001", "front.yaml:8:3"),
    ]
    assert [(one.direction, one.service, one.consumer, one.local) for one in plan.clusters] == [
        (INBOUND, "front", None, Address("127.0.0.1", 9000)),
        (OUTBOUND, "app", None, None),
    ]


def test_a_node_of_several_services_has_inbound_listeners_first_then_calls_by_name(
    tmp_path: Path,
) -> None:
    texts = {
        "web.yaml": service(host("box", "10.0.0.9"), more=calls("db", "app")),
        "api.yaml": service(
            host("box", "10.0.0.9", port=81, app=9005), more=calls("db", first_port=9100)
        ),
        "app.yaml": APP,
        "db.yaml": service(host("db1", "10.0.0.4"), protocol="TCP"),
    }

    plan = node(plans(tmp_path, texts), "box")

    assert [summary(listener)[:4] for listener in plan.listeners] == [
        (INBOUND, "api", None, "10.0.0.9:81"),
        (INBOUND, "web", None, "10.0.0.9:80"),
        (OUTBOUND, "db", "api", "127.0.0.1:9100"),
        (OUTBOUND, "app", "web", "127.0.0.1:9002"),
        (OUTBOUND, "db", "web", "127.0.0.1:9001"),
    ]
    assert [(one.direction, one.service) for one in plan.clusters] == [
        (INBOUND, "api"),
        (INBOUND, "web"),
        (OUTBOUND, "db"),
        (OUTBOUND, "app"),
    ]


def test_a_node_has_nothing_of_services_that_it_neither_runs_nor_calls(tmp_path: Path) -> None:
    texts = {"app.yaml": APP, "db.yaml": service(host("db1", "10.0.0.4"), more=calls("app"))}

    plan = node(plans(tmp_path, texts), "app1")

    assert [listener.service for listener in plan.listeners] == ["app"]


# Sharing.


def test_hosts_of_a_service_that_are_alike_share_all_but_their_inbound_address(
    tmp_path: Path,
) -> None:
    app = service(host("app1"), host("app2", "10.0.0.2"), more=calls("db"))
    shared = plans(tmp_path, {"app.yaml": app, "db.yaml": service(host("db1", "10.0.0.4"))})

    one, other = node(shared, "app1"), node(shared, "app2")

    assert one.listeners[0].bind != other.listeners[0].bind
    assert one.listeners[0].chain is other.listeners[0].chain
    assert one.listeners[1] is other.listeners[1]
    assert one.shape is other.shape


def test_hosts_with_applications_at_different_addresses_have_chains_of_their_own(
    tmp_path: Path,
) -> None:
    shared = plans(
        tmp_path, {"app.yaml": service(host("app1"), host("app2", "10.0.0.2", app=9005))}
    )

    one, other = node(shared, "app1"), node(shared, "app2")

    assert one.listeners[0].chain.cluster.local == Address("127.0.0.1", 9000)
    assert other.listeners[0].chain.cluster.local == Address("127.0.0.1", 9005)
    assert one.shape is not other.shape


def test_hosts_that_take_calls_at_different_addresses_have_listeners_of_their_own(
    tmp_path: Path,
) -> None:
    app = service(host("app1"), host("app2", "10.0.0.2", "  egressHost: '::1'\n"), more=calls("db"))
    shared = plans(tmp_path, {"app.yaml": app, "db.yaml": service(host("db1", "10.0.0.4"))})

    one, other = node(shared, "app1").listeners[1], node(shared, "app2").listeners[1]

    assert (str(one.bind), str(other.bind)) == ("127.0.0.1:9001", "[::1]:9001")
    assert one.chain is other.chain


def test_callers_that_override_nothing_share_chain_cluster_and_endpoints(tmp_path: Path) -> None:
    texts = {
        "app.yaml": APP,
        "one.yaml": service(host("one1", "10.0.0.3"), more=calls("app")),
        "two.yaml": service(host("two1", "10.0.0.4"), more=calls("app")),
    }
    shared = plans(tmp_path, texts)

    one, two = node(shared, "one1").listeners[1].chain, node(shared, "two1").listeners[1].chain

    assert one is two
    assert one.consumer is None
    assert shared.overriding == {}


@pytest.mark.parametrize(
    ("override", "own_cluster"),
    [
        ("  timeouts: {request: 3s}\n", False),
        ("  retries: {attempts: 0}\n", False),
        ("  timeouts: {connect: 3s}\n", True),
        ("  circuitBreakers: {maxRequests: 5}\n", True),
        ("  loadBalancing: {policy: random}\n", True),
    ],
)
def test_a_caller_that_overrides_something_gets_its_own_of_that_and_no_more(
    tmp_path: Path, override: str, *, own_cluster: bool
) -> None:
    texts = {
        "app.yaml": APP,
        "one.yaml": service(host("one1", "10.0.0.3"), more=calls("app")),
        "two.yaml": service(host("two1", "10.0.0.4"), more=calls("app", more=override)),
    }
    shared = plans(tmp_path, texts)

    one, two = node(shared, "one1").listeners[1].chain, node(shared, "two1").listeners[1].chain

    assert (one.consumer, two.consumer) == (None, "two")
    assert (two.cluster is not one.cluster) is own_cluster
    assert two.cluster.consumer == ("two" if own_cluster else None)
    assert two.cluster.endpoints is one.cluster.endpoints
    assert str(two.origin.span) == "two.yaml:7:3"
    assert node(shared, "two1").listeners[1].chain is two


def test_overriding_callers_are_known_by_the_service_that_they_call(tmp_path: Path) -> None:
    texts = {
        "app.yaml": APP,
        "one.yaml": service(host("one1", "10.0.0.3"), more=calls("app", more=OVERRIDE)),
        "two.yaml": service(host("two1", "10.0.0.4"), more=calls("app", more=OVERRIDE)),
    }

    shared = plans(tmp_path, texts)

    assert {
        name: [upstream.consumer for upstream in upstreams]
        for name, upstreams in shared.overriding.items()
    } == {"app": ["one", "two"]}


# A service.


def test_a_service_plan_has_the_shared_chain_first_and_one_for_each_overriding_caller(
    tmp_path: Path,
) -> None:
    texts = {
        "app.yaml": APP,
        "one.yaml": service(host("one1", "10.0.0.3"), more=calls("app", more=OVERRIDE)),
        "two.yaml": service(host("two1", "10.0.0.4"), more=calls("app")),
    }
    shared = plans(tmp_path, texts)

    plan = shared.service(shared.mesh.services[ServiceName("app")])

    assert [chain.consumer for chain in plan.outbound] == [None, "one"]
    assert plan.outbound[0] is node(shared, "two1").listeners[1].chain
    assert plan.outbound[1] is node(shared, "one1").listeners[1].chain
    assert plan.inbound is node(shared, "app1").listeners[0].chain
    assert plan.service == "app"


def test_endpoints_list_the_hosts_by_name_with_what_callers_know_of_them(tmp_path: Path) -> None:
    more = "  weight: 3\n  labels: {a: b}\n  locality: {region: eu, zone: z}\n"
    app = service(host("b", "10.0.0.2"), host("a", "10.0.0.1", more))
    shared = plans(tmp_path, {"app.yaml": app})

    endpoints = shared.service(shared.mesh.services[ServiceName("app")]).endpoints

    assert endpoints is not None
    assert [
        (one.name, str(one.address), one.weight, one.locality, one.labels, str(one.origin.span))
        for one in endpoints.endpoints
    ] == [
        ("a", "10.0.0.1:80", 3, Locality("eu", "z"), {"a": "b"}, "app.yaml:6:3"),
        ("b", "10.0.0.2:80", 1, Locality("", ""), {}, "app.yaml:3:3"),
    ]
    assert (endpoints.has_dns_names, endpoints.is_external) == (False, False)


@pytest.mark.parametrize(
    ("address", "has_dns_names"), [("192.0.2.1", False), ("api.example.com", True)]
)
def test_hosts_outside_the_mesh_are_endpoints_without_an_inbound_chain(
    tmp_path: Path, address: str, *, has_dns_names: bool
) -> None:
    text = f"protocol: TCP\nhosts:\n- {{name: x, externalAddr: {{host: {address}, port: 443}}}}\n"
    shared = plans(tmp_path, {"api.yaml": text})

    plan = shared.service(shared.mesh.services[ServiceName("api")])

    assert plan.inbound is None
    assert plan.endpoints is not None
    assert [str(one.address) for one in plan.endpoints.endpoints] == [f"{address}:443"]
    assert (plan.endpoints.has_dns_names, plan.endpoints.is_external) == (has_dns_names, True)


def test_a_service_without_hosts_has_no_endpoints_and_can_be_called(tmp_path: Path) -> None:
    mesh, found = linked(
        tmp_path,
        {
            "app.yaml": "protocol: HTTP\n",
            "front.yaml": service(host("front1"), more=calls("app")),
        },
    )
    shared = SharedPlans(mesh)

    plan = shared.service(mesh.services[ServiceName("app")])

    assert [one.code for one in found] == ["MC309"]
    assert plan.endpoints is not None
    assert (plan.inbound, plan.endpoints.endpoints) == (None, ())
    assert plan_node(mesh.nodes[NodeId("front1")], shared).listeners[1].chain is plan.outbound[0]


@pytest.mark.parametrize(
    ("protocol", "expected"), [("HTTP", True), ("HTTP2", True), ("GRPC", True), ("TCP", False)]
)
def test_only_protocols_with_requests_have_routes(
    tmp_path: Path, protocol: str, *, expected: bool
) -> None:
    shared = plans(tmp_path, {"app.yaml": service(host("app1"), protocol=protocol)})

    plan = shared.service(shared.mesh.services[ServiceName("app")])

    assert plan.inbound is not None
    assert (plan.inbound.has_routes, plan.outbound[0].has_routes) == (expected, expected)
    assert plan.inbound.protocol == plan.outbound[0].cluster.protocol == protocol


def test_inbound_chains_have_the_policies_of_the_called_side_alone(tmp_path: Path) -> None:
    shared = plans(tmp_path, {"app.yaml": service(host("app1"), more="retries: {attempts: 5}\n")})

    chain = node(shared, "app1").listeners[0].chain

    assert [binding.key for binding in chain.bindings] == ["inbound"]
    assert chain.cluster.bindings is chain.bindings
