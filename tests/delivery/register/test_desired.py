"""Facts about instances → what shall be registered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshc.delivery.register.desired import desired_registration
from meshc.delivery.register.entries import admin_id, service_id
from meshc.diagnostics.errors import BundleError, SettingsError
from tests.delivery.register.samples import entries, instance


def test_a_host_is_a_node_of_its_own_that_says_what_it_is() -> None:
    (node,) = entries("shop", instance("web", "box"), instance("api", "box", port=8001))

    assert (node.name, node.node, node.address) == ("meshc-shop-box", "box", "10.0.0.1")
    assert node.meta == {
        "external-node": "true",
        "external-probe": "false",
        "meshc-mesh": "shop",
        "meshc-node": "box",
        "meshc-services": "api,web",
    }


def test_an_instance_that_gets_nothing_new_has_the_smallest_weight_that_consul_has() -> None:
    (node,) = entries("shop", instance("web", "box", weight=0))

    assert [service.weight for service in node.instances] == [1]


def test_an_instance_says_where_it_is_and_whose() -> None:
    facts = instance(
        "web",
        "box",
        port=8001,
        region="east",
        zone="east-1",
        labels={"rack": "r1"},
        service_labels={"tier": "front"},
        weight=5,
        protocol="HTTP2",
    )
    (node,) = entries("shop", facts)

    (service,) = node.instances
    assert (service.id, service.name) == ("meshc:shop:service:web:box", "web")
    assert (service.address, service.port, service.weight) == ("10.0.0.1", 8001, 5)
    assert service.tags == ("meshc", "mesh-shop", "http2")
    version = service.meta["version"]
    assert len(version) == 16
    assert service.meta == {
        "managed-by": "meshc",
        "mesh": "shop",
        "node": "box",
        "locality": "east/east-1",
        "protocol": "http2",
        "version": version,
        "label-rack": "r1",
        "service-label-tier": "front",
    }


def test_the_admin_interface_names_the_services_that_own_it() -> None:
    web = instance("web", "box", admin_address="10.0.0.9", region="east")
    (node,) = entries("shop", web, instance("api", "box", admin_address="10.0.0.9", region="east"))

    assert (node.admin.id, node.admin.name) == ("meshc:shop:admin:box", "envoy-admin")
    assert (node.admin.address, node.admin.port) == ("10.0.0.9", 9901)
    assert node.admin.tags == ("meshc", "mesh-shop")
    assert node.admin.meta["services"] == "api,web"
    assert node.admin.meta["node"] == "box"
    assert node.admin.meta["mesh"] == "shop"
    assert node.admin.meta["locality"] == "east"
    assert node.services == (*node.instances, node.admin)


def test_nodes_come_in_the_order_of_their_names_whatever_the_facts() -> None:
    forwards = [instance("b", "n2"), instance("a", "n1"), instance("a", "n2")]

    once = desired_registration("m", forwards, admin_service="envoy-admin")
    again = desired_registration("m", reversed(forwards), admin_service="envoy-admin")

    assert once == again
    assert [node.node for node in once.nodes] == ["n1", "n2"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", 8001),
        ("admin_port", 9902),
        ("labels", {"a": "b"}),
        ("service_labels", {"a": "b"}),
        ("weight", 2),
        ("region", "east"),
    ],
)
def test_the_version_changes_with_each_fact(key: str, value: object) -> None:
    (before,) = entries("shop", instance("web", "box"))
    (same,) = entries("shop", instance("web", "box"))
    (after,) = entries("shop", instance("web", "box", "10.0.0.1", **{key: value}))

    assert same == before
    assert after.instances[0].meta["version"] != before.instances[0].meta["version"]
    assert after.admin.meta["version"] != before.admin.meta["version"]


def test_what_listens_everywhere_is_registered_where_the_services_are() -> None:
    (node,) = entries("shop", instance("web", "box", admin_address="0.0.0.0"))

    assert node.admin.address == "10.0.0.1"


def test_an_admin_interface_on_loopback_is_registered_as_it_is_and_told_about_once() -> None:
    desired = desired_registration(
        "shop",
        [instance("web", f"n{number}", admin_address="127.0.0.1") for number in range(5)],
        admin_service="envoy-admin",
    )

    assert {node.admin.address for node in desired.nodes} == {"127.0.0.1"}
    (note,) = desired.notes
    assert "loopback" in note
    assert note.endswith("(n0, n1, n2 and 2 more)")


def test_a_mesh_that_is_all_on_loopback_is_nothing_to_talk_about() -> None:
    facts = instance("web", "box", "127.0.34.70", admin_address="127.0.0.1")

    assert desired_registration("shop", [facts], admin_service="envoy-admin").notes == ()


def test_labels_that_do_not_fit_are_told_about_with_their_hosts() -> None:
    labels = {"a.b": "x"}
    facts = [instance("web", name, labels=labels) for name in ("n1", "n2")]

    desired = desired_registration("shop", facts, admin_service="envoy-admin")

    assert desired.notes == ('label "a.b" is registered as "label-a_b" (n1, n2)',)


def test_a_service_named_as_the_admin_interfaces_is_refused_with_what_to_do() -> None:
    facts = [instance("envoy-admin", "box")]

    with pytest.raises(SettingsError, match='a service "envoy-admin"') as refused:
        desired_registration("shop", facts, admin_service="envoy-admin")

    assert refused.value.hint is not None
    assert "--admin-service" in refused.value.hint
    (node,) = desired_registration("shop", facts, admin_service="envoy").nodes
    assert (node.instances[0].name, node.admin.name) == ("envoy-admin", "envoy")


def test_facts_that_contradict_each_other_about_a_host_are_refused() -> None:
    facts = [instance("web", "box"), instance("api", "box", admin_port=9902)]

    with pytest.raises(BundleError, match='different things about host "box"'):
        desired_registration("shop", facts, admin_service="envoy-admin")


NAMES = st.text("a-_", min_size=1, max_size=3) | st.sampled_from(["admin", "service"])


@given(st.lists(st.tuples(NAMES, st.none() | NAMES, NAMES), min_size=2, max_size=30, unique=True))
def test_no_two_things_have_one_id(things: list[tuple[str, str | None, str]]) -> None:
    ids = [
        admin_id(mesh, node) if service is None else service_id(mesh, service, node)
        for mesh, service, node in things
    ]

    assert len(set(ids)) == len(ids)
