"""What shall be registered, what is → what to do."""

from __future__ import annotations

from meshc.delivery.register.entries import FoundService
from meshc.delivery.register.reconcile import (
    DropNode,
    DropService,
    PutNode,
    PutService,
    reconcile,
)
from tests.delivery.register.samples import entries, found, instance, registered, renamed

APP1, APP2 = instance("app", "app1"), instance("app", "app2", "10.0.0.2")


def test_a_new_host_is_written_whole_and_only_where_nothing_is() -> None:
    (app1,) = entries("shop", APP1)

    changes = reconcile([app1], found())

    (host,) = changes.hosts
    assert (host.action, host.node, host.name) == ("add", "app1", "meshc-shop-app1")
    assert host.steps == (
        PutNode(entry=app1, index=0),
        *(PutService(node_name=app1.name, entry=one, index=0) for one in app1.services),
    )
    assert not host.loses_something


def test_what_is_registered_as_it_shall_be_is_left_alone() -> None:
    nodes = entries("shop", APP1, APP2)

    changes = reconcile(nodes, found(*map(registered, nodes)))

    assert changes.hosts == ()
    assert (changes.unchanged, changes.registered) == (2, 2)


def test_an_address_that_moves_is_written_over_what_was_read() -> None:
    (before,) = entries("shop", APP1)
    (after,) = entries("shop", instance("app", "app1", "10.0.0.9"))

    (host,) = reconcile([after], found(registered(before))).hosts

    assert host.action == "change"
    assert host.steps == (
        PutNode(entry=after, index=7),
        *(PutService(node_name=after.name, entry=one, index=7) for one in after.services),
    )


def test_only_what_differs_is_written() -> None:
    (node,) = entries("shop", APP1)
    there = registered(node)
    altered = FoundService(entry=renamed(node.admin, port=1), index=9)

    (host,) = reconcile(
        [node], found(registered(node, services={**there.services, node.admin.id: altered}))
    ).hosts

    assert host.steps == (PutService(node_name=node.name, entry=node.admin, index=9),)


def test_app1_goes_and_app10_stays() -> None:
    nodes = entries("shop", APP1, instance("app", "app10", "10.0.0.10"))
    app1, app10 = nodes

    changes = reconcile([app10], found(*map(registered, nodes)))

    (host,) = changes.hosts
    assert (host.action, host.node) == ("remove", "app1")
    assert host.steps == (DropNode(found=registered(app1)),)
    assert changes.unchanged == 1


def test_a_service_that_moves_away_from_a_host_is_taken_out_there() -> None:
    (before,) = entries("shop", APP1, instance("web", "app1", port=8001))
    (after,) = entries("shop", APP1)
    web = next(one for one in before.services if one.name == "web")

    (host,) = reconcile([after], found(registered(before))).hosts

    assert host.action == "change"
    assert DropService(node_name=after.name, found=FoundService(entry=web, index=7)) in host.steps
    assert host.loses_something
    assert isinstance(host.steps[-1], DropService), "what comes is written before what goes"


def test_a_host_that_is_renamed_comes_before_its_old_name_goes() -> None:
    (old,) = entries("shop", instance("app", "app1"))
    (new,) = entries("shop", instance("app", "web1"))

    changes = reconcile([new], found(registered(old)))

    assert [(host.action, host.node) for host in changes.hosts] == [
        ("add", "web1"),
        ("remove", "app1"),
    ]


def test_a_node_is_known_by_its_metadata_and_not_by_its_name() -> None:
    (node,) = entries("shop", APP1)
    elsewhere = registered(node, name="named-by-an-older-version")

    changes = reconcile([node], found(elsewhere))

    assert [(host.action, host.name) for host in changes.hosts] == [
        ("add", "meshc-shop-app1"),
        ("remove", "named-by-an-older-version"),
    ]


def test_names_that_differ_in_case_are_one_node() -> None:
    (node,) = entries("shop", instance("app", "App1"))
    there = registered(node, name="meshc-shop-app1")

    (host,) = reconcile([node], found(there)).hosts

    assert host.steps == (PutNode(entry=node, index=7),)


def test_a_name_that_is_somebody_elses_is_not_taken_over() -> None:
    (node,) = entries("shop", APP1)

    changes = reconcile([node], found(taken=frozenset({"meshc-shop-app1"})))

    assert changes.hosts == ()
    assert changes.collisions == ('there is a node "meshc-shop-app1" that is not of this mesh',)


def test_an_id_that_is_somebody_elses_is_not_taken_over() -> None:
    (node,) = entries("shop", APP1)
    there = registered(node, services={}, foreign=frozenset({node.admin.id}))

    changes = reconcile([node], found(there))

    assert changes.hosts == ()
    assert changes.collisions == (
        'node "meshc-shop-app1" has a service "meshc:shop:admin:app1" that is not of this mesh',
    )


def test_a_node_with_services_of_others_stays_and_loses_only_ours() -> None:
    (node,) = entries("shop", APP1)
    there = registered(node, foreign=frozenset({"theirs"}))

    changes = reconcile([], found(there))

    (host,) = changes.hosts
    assert all(isinstance(step, DropService) for step in host.steps)
    assert len(host.steps) == 2
    assert changes.notes == ('node "meshc-shop-app1" stays, because of services of others: theirs',)
    emptied = registered(node, services={}, foreign=frozenset({"theirs"}))
    assert reconcile([], found(emptied)).hosts == ()


def test_a_host_that_its_own_agent_registers_is_left_to_it() -> None:
    nodes = entries("shop", APP1, APP2)

    changes = reconcile(nodes, found(local={"app1": "host17", "gone": "host9"}))

    assert [host.node for host in changes.hosts] == ["app2"]
    assert changes.local == {"app1": "host17"}
    assert changes.strays == {"gone": "host9"}


def test_a_host_whose_agent_takes_over_loses_its_own_node() -> None:
    (node,) = entries("shop", APP1)

    (host,) = reconcile([node], found(registered(node), local={"app1": "host17"})).hosts

    assert (host.action, host.node) == ("remove", "app1")
