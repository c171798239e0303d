"""Transactions upon the catalogue, and answers that hide something, against a real Consul."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from meshc.consul.errors import ConsulDeniedError
from meshc.consul.kv import CatalogOperation, KvOperation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.consul.client import ConsulClient
    from tests.consul.cluster import Cluster
    from tests.consul.server import ConsulServer

pytestmark = pytest.mark.consul

SHOP_NODES = 'node_prefix "shop-" { policy = "write" }'


def put_node(name: str, index: int = 0) -> CatalogOperation:
    entry = {"Node": name, "Address": "10.0.0.1", "Meta": {"a": name}, "ModifyIndex": index}
    return CatalogOperation(kind="Node", verb="cas", entry=entry)


def put_service(node: str, index: int = 0, port: int = 80) -> CatalogOperation:
    entry = {"ID": "one", "Service": f"{node}-web", "Port": port, "ModifyIndex": index}
    return CatalogOperation(kind="Service", verb="cas", node=node, entry=entry)


@pytest.fixture
def client(consul_dev: ConsulServer) -> Iterator[ConsulClient]:
    with consul_dev.client() as opened:
        yield opened


@pytest.fixture
def node() -> str:
    """A node that no other test uses."""
    return f"txn-{secrets.token_hex(8)}"


def test_a_node_and_its_service_are_written_as_a_whole(client: ConsulClient, node: str) -> None:
    assert client.txn([put_node(node), put_service(node)]).ok

    found = client.catalog_node_services(node).value
    assert found is not None
    assert found["Node"]["Meta"] == {"a": node}
    assert found["Services"]["one"]["Port"] == 80


def test_what_has_changed_meanwhile_is_not_written_over(client: ConsulClient, node: str) -> None:
    assert client.txn([put_node(node), put_service(node)]).ok
    found = client.catalog_node_services(node).value
    assert found is not None
    index = found["Services"]["one"]["ModifyIndex"]
    assert client.txn([put_service(node, index, port=81)]).ok

    late = client.txn(
        [KvOperation(verb="set", key=f"test/{node}"), put_service(node, index, port=82)]
    )

    assert not late.ok
    assert [one.operation for one in late.errors] == [1]
    assert client.kv_get(f"test/{node}").value is None


def test_a_node_that_exists_is_not_taken_over(client: ConsulClient, node: str) -> None:
    client.catalog_register({"Node": node, "Address": "10.0.0.9"})

    assert not client.txn([put_node(node)]).ok
    assert not client.txn([put_node(node.upper())]).ok


def test_what_is_taken_out_is_named_with_its_index(client: ConsulClient, node: str) -> None:
    client.txn([put_node(node), put_service(node)])
    found = client.catalog_node_services(node).value
    assert found is not None
    entry = {"Node": node, "ModifyIndex": found["Node"]["ModifyIndex"]}
    other = {"Node": node, "ModifyIndex": 1}

    assert not client.txn([CatalogOperation(kind="Node", verb="delete-cas", entry=other)]).ok
    assert client.txn([CatalogOperation(kind="Node", verb="delete-cas", entry=entry)]).ok
    assert client.catalog_node_services(node).value is None


def test_questions_are_counted(client: ConsulClient) -> None:
    before = client.exchanges

    client.kv_get("test/one")
    client.kv_get("test/two")

    assert client.exchanges == before + 2


def test_a_transaction_that_the_token_forbids_is_denied_and_no_conflict(
    consul_cluster: Cluster,
) -> None:
    server = consul_cluster.first
    with server.client(server.make_token(SHOP_NODES, "txn-denied")) as client:
        assert client.txn([put_node("shop-a")]).ok
        with pytest.raises(ConsulDeniedError, match="service:write"):
            client.txn([put_node("shop-b"), put_service("shop-b")])
    with server.client() as client:
        assert client.catalog_node_services("shop-b").value is None


def test_a_denial_with_a_reason_for_each_of_many_operations_is_read(
    consul_cluster: Cluster,
) -> None:
    server = consul_cluster.first
    many = [put_node(f"other-{number}-{'x' * 120}") for number in range(64)]
    with (
        server.client(server.make_token(SHOP_NODES, "txn-many")) as client,
        pytest.raises(ConsulDeniedError, match="node:write"),
    ):
        client.txn(many)


def test_an_answer_that_hides_something_says_so(consul_cluster: Cluster) -> None:
    server = consul_cluster.first
    with server.client() as client:
        client.catalog_register({"Node": "seen-a", "Address": "10.0.0.1"})
        client.catalog_register({"Node": "hidden-a", "Address": "10.0.0.1"})
    token = server.make_token('node_prefix "seen-" { policy = "read" }', "hidden")
    with server.client(token) as client:
        whole = client.catalog_nodes(filter_expression='Node matches "^seen-"')
        part = client.catalog_nodes(filter_expression='Node matches "-a$"')

    assert (len(whole.value), whole.is_filtered) == (1, False)
    assert part.is_filtered
    assert "hidden-a" not in {one["Node"] for one in part.value}
