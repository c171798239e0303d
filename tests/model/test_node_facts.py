"""Labels, locality and admin address of a node: where they may be said, and which word counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.model.mesh import (
    Address,
    Locality,
)
from tests.model.reading import good, host, lines, node, only, related, service

if TYPE_CHECKING:
    from pathlib import Path


def test_a_node_has_the_labels_of_the_mesh_and_its_own_above_them(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("app1", more="  labels: {tier: web, rack: r1}\n")),
        "mesh.yaml": "labels: {tier: any, site: s1}\n",
    }

    assert node(good(tmp_path, texts), "app1").labels == {"tier": "web", "site": "s1", "rack": "r1"}


def test_labels_of_several_entries_are_joined(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("box", more="  labels: {a: '1', b: '2'}\n")),
        "db.yaml": service(host("box", more="  labels: {b: '2', c: '3'}\n", port=81, app=9001)),
        "mesh.yaml": "labels: {a: '0', d: '4'}\n",
    }

    assert node(good(tmp_path, texts), "box").labels == {"a": "1", "b": "2", "c": "3", "d": "4"}


def test_locality_and_admin_may_be_said_in_one_place_only(tmp_path: Path) -> None:
    facts = "  locality: {region: eu}\n  adminAddr: {host: 10.0.0.1, port: 9999}\n"
    texts = {
        "app.yaml": service(host("box")),
        "db.yaml": service(host("box", more=facts, port=81, app=9001)),
        "web.yaml": service(host("box", more=facts, port=82, app=9002)),
    }

    box = node(good(tmp_path, texts), "box")

    assert box.locality == Locality("eu", "")
    assert box.admin == Address("10.0.0.1", 9999)


def test_a_node_of_several_services_without_facts_has_none(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("box")),
        "db.yaml": service(host("box", port=81, app=9001)),
    }

    box = node(good(tmp_path, texts), "box")

    assert (box.locality, box.labels, box.admin) == (
        Locality("", ""),
        {},
        Address("127.0.0.1", 9901),
    )


@pytest.mark.parametrize(
    ("settings", "admin"),
    [
        ("{}\n", Address("127.0.0.1", 9901)),
        ("admin: {port: 9000}\n", Address("127.0.0.1", 9000)),
        ("admin: {host: '::'}\n", Address("::", 9901)),
        ("admin: {host: ingress, port: 9902}\n", Address("10.0.0.1", 9902)),
    ],
)
def test_the_admin_page_is_where_the_mesh_says(
    tmp_path: Path, settings: str, admin: Address
) -> None:
    texts = {"app.yaml": service(host("app1", app=9005)), "mesh.yaml": settings}

    assert node(good(tmp_path, texts), "app1").admin == admin


def test_a_hosts_own_admin_address_stands_above_that_of_the_mesh(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("app1", more="  adminAddr: {host: '::1', port: 5}\n")),
        "mesh.yaml": "admin: {host: ingress}\n",
    }

    assert node(good(tmp_path, texts), "app1").admin == Address("::1", 5)


@pytest.mark.parametrize(
    ("one", "other", "what", "place"),
    [
        ("labels: {a: '1'}", "labels: {b: x, a: '2'}", 'label "a"', "6:11"),
        ("locality: {region: eu}", "locality: {region: us}", "locality", "6:13"),
        (
            "locality: {region: eu}",
            "locality: {region: eu, zone: a}",
            "locality",
            "6:13",
        ),
        (
            "adminAddr: {host: 127.0.0.1, port: 1}",
            "adminAddr: {host: 127.0.0.1, port: 2}",
            "adminAddr",
            "6:14",
        ),
    ],
)
def test_one_host_described_in_two_ways_is_reported_at_the_second(
    tmp_path: Path, one: str, other: str, what: str, place: str
) -> None:
    texts = {
        "app.yaml": service(host("box", more=f"  {one}\n")),
        "db.yaml": service(host("box", more=f"  {other}\n", port=81, app=9001)),
    }

    finding = only(tmp_path, texts)

    assert lines((finding,)) == [
        f'MC310 db.yaml:{place}: host "box" has another {what} here than in service "app"'
    ]
    assert related(finding) == [f'app.yaml:{place}: in service "app"']
    assert finding.hint == (
        "the same name is the same host; make the two equal, or give it in one place only"
    )
