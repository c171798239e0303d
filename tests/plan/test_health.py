"""Callers that follow the health of hosts, and services that only Consul knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.diagnostics import DiagnosticSink
from meshc.model.mesh import NodeId, ServiceName
from meshc.plan.match import check_policies
from meshc.plan.node import plan_node
from meshc.plan.service import SharedPlans
from meshc.plan.types import HealthPlan
from tests.model.reading import calls, good, host, service

if TYPE_CHECKING:
    from pathlib import Path

APP = service(host("app1"), host("app2", "10.0.0.2"))
FOLLOWS = calls("app") + "  health: {from: consul, panicThreshold: 40}\n"
KNOWN = (
    "dependentServices:\n- name: old\n  egressPort: 9009\n  from: consul\n  protocol: TCP\n"
    "  tags: [b, a, b]\n"
)


def plans(folder: Path, texts: dict[str, str]) -> SharedPlans:
    mesh = good(folder, texts)
    sink = DiagnosticSink()
    check_policies(mesh, sink)
    assert sink.sorted() == ()
    return SharedPlans(mesh)


def test_a_caller_that_follows_health_has_cluster_and_endpoints_for_itself(tmp_path: Path) -> None:
    front = service(host("box", "10.0.0.3"), more=FOLLOWS)
    jobs = service(host("box", "10.0.0.3", port=81, app=9005), more=calls("app", first_port=9100))
    shared = plans(tmp_path, {"app.yaml": APP, "front.yaml": front, "jobs.yaml": jobs})

    clusters = plan_node(shared.mesh.nodes[NodeId("box")], shared).clusters

    found = {one.consumer: one.endpoints for one in clusters if one.service == "app"}
    own, common = found[ServiceName("front")], found[None]
    assert own is not None
    assert common is not None
    assert (own.consumer, common.consumer, common.health) == ("front", None, None)
    assert own.endpoints == common.endpoints
    assert own.health == HealthPlan(panic_threshold=40, tags=(), is_only_in_consul=False)
    assert str(own.origin.span) == "front.yaml:7:3"


def test_all_hosts_of_one_caller_have_the_same_endpoints(tmp_path: Path) -> None:
    front = service(host("front1", "10.0.0.3"), host("front2", "10.0.0.4"), more=FOLLOWS)
    shared = plans(tmp_path, {"app.yaml": APP, "front.yaml": front})

    first, second = (
        plan_node(shared.mesh.nodes[NodeId(name)], shared) for name in ("front1", "front2")
    )

    assert first.shape.chains[1].cluster is second.shape.chains[1].cluster


def test_nobody_shares_anything_of_a_service_that_only_consul_knows(tmp_path: Path) -> None:
    front = service(host("front1", "10.0.0.3"), more=KNOWN)
    other = service(host("other1", "10.0.0.4"), more=KNOWN.replace("[b, a, b]", "[c]"))
    shared = plans(tmp_path, {"front.yaml": front, "other.yaml": other})

    plan = shared.service(shared.mesh.services[ServiceName("old")])

    assert (plan.endpoints, plan.inbound) == (None, None)
    assert [chain.consumer for chain in plan.outbound] == ["front", "other"]
    found = [chain.cluster.endpoints for chain in plan.outbound]
    assert [one.endpoints for one in found if one] == [(), ()]
    assert [one.health for one in found if one] == [
        HealthPlan(panic_threshold=50, tags=("a", "b"), is_only_in_consul=True),
        HealthPlan(panic_threshold=50, tags=("c",), is_only_in_consul=True),
    ]


def test_such_a_service_has_no_place_but_its_first_dependency(tmp_path: Path) -> None:
    front = service(host("front1", "10.0.0.3"), more=KNOWN)
    shared = plans(tmp_path, {"front.yaml": front})

    found = shared.mesh.services[ServiceName("old")]

    assert found.is_only_in_consul
    assert (found.protocol, str(found.origin.span)) == ("TCP", "front.yaml:7:3")
    assert list(shared.mesh.services) == ["front", "old"]
