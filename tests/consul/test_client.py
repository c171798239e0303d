"""The client against a real Consul."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

import pytest

from meshc.consul.kv import KvEntry, KvOperation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.consul.client import ConsulClient
    from tests.consul.server import ConsulServer

pytestmark = pytest.mark.consul


@pytest.fixture
def client(consul_dev: ConsulServer) -> Iterator[ConsulClient]:
    with consul_dev.client() as opened:
        yield opened


@pytest.fixture
def root() -> str:
    """A place in the KV store that no other test uses."""
    return f"meshc/v1/test-{secrets.token_hex(8)}"


def test_a_value_comes_back_as_it_was_written(client: ConsulClient, root: str) -> None:
    value = bytes(range(256))
    assert client.kv_put(f"{root}/key", value)

    found = client.kv_get(f"{root}/key")

    assert found.value is not None
    assert found.value.value == value
    assert found.value.modify_index == found.index > 0
    assert found.has_leader


def test_a_key_that_is_not_there_is_none_with_an_index_to_wait_for(
    client: ConsulClient, root: str
) -> None:
    found = client.kv_get(f"{root}/nothing")
    assert found.value is None
    assert found.index > 0


def test_an_empty_value_is_empty_and_not_missing(client: ConsulClient, root: str) -> None:
    client.kv_put(f"{root}/key", b"")
    found = client.kv_get(f"{root}/key").value
    assert found is not None
    assert found.value == b""


def test_a_value_is_written_only_over_the_one_that_was_read(
    client: ConsulClient, root: str
) -> None:
    key = f"{root}/key"
    assert client.kv_put(key, b"one", cas=0)
    assert not client.kv_put(key, b"two", cas=0)
    first = client.kv_get(key).value
    assert first is not None
    assert client.kv_put(key, b"two", cas=first.modify_index)
    assert not client.kv_put(key, b"three", cas=first.modify_index)
    assert not client.kv_delete(key, cas=first.modify_index)
    second = client.kv_get(key).value
    assert second is not None
    assert second.value == b"two"
    assert client.kv_delete(key, cas=second.modify_index)
    assert client.kv_get(key).value is None


def test_keys_and_entries_are_listed_by_prefix(client: ConsulClient, root: str) -> None:
    for name in ("b", "a", "c/d"):
        client.kv_put(f"{root}/{name}", name.encode())
    assert client.kv_keys(f"{root}/").value == [f"{root}/a", f"{root}/b", f"{root}/c/d"]
    assert [one.value for one in client.kv_list(f"{root}/").value] == [b"a", b"b", b"c/d"]
    assert client.kv_list(f"{root}/none/").value == []


def test_a_transaction_is_done_as_a_whole(client: ConsulClient, root: str) -> None:
    result = client.txn(
        [
            KvOperation(verb="set", key=f"{root}/a", value=b"A"),
            KvOperation(verb="check-not-exists", key=f"{root}/b"),
            KvOperation(verb="get", key=f"{root}/a"),
        ]
    )
    assert result.ok
    assert [(one.key, one.value) for one in result.entries][-1] == (f"{root}/a", b"A")


def test_a_transaction_that_fails_says_where_and_does_nothing(
    client: ConsulClient, root: str
) -> None:
    result = client.txn(
        [
            KvOperation(verb="set", key=f"{root}/a", value=b"A"),
            KvOperation(verb="check-index", key=f"{root}/none", index=7),
        ]
    )
    assert not result.ok
    assert result.entries == ()
    assert [one.operation for one in result.errors] == [1]
    assert client.kv_get(f"{root}/a").value is None


def test_a_blocking_query_ends_with_the_change(client: ConsulClient, root: str) -> None:
    index = client.kv_get(f"{root}/key").index
    found: list[KvEntry | None] = []
    waiting = threading.Thread(
        target=lambda: found.append(client.kv_get(f"{root}/key", index=index, wait=20).value)
    )
    waiting.start()
    client.kv_put(f"{root}/key", b"new")
    waiting.join(10)
    assert found[0] is not None
    assert found[0].value == b"new"


def test_a_lock_is_held_by_one_session_and_fences_transactions(
    client: ConsulClient, root: str
) -> None:
    one = client.session_create("one", ttl=10, lock_delay=0)
    two = client.session_create("two", ttl=10, lock_delay=0)
    key = f"{root}/lock"
    assert client.acquire(key, one, b"")
    assert not client.acquire(key, two, b"")
    fence = KvOperation(verb="check-session", key=key, session=two)
    assert not client.txn([fence, KvOperation(verb="set", key=f"{root}/a", value=b"")]).ok
    assert client.session_renew(one)
    client.session_destroy(one)
    assert not client.session_renew(one)
    assert client.acquire(key, two, b"")
    client.session_destroy(two)


def test_a_node_outside_is_registered_found_and_taken_out(client: ConsulClient, root: str) -> None:
    node = root.rpartition("/")[2]
    client.catalog_register(
        {
            "Node": node,
            "Address": "10.0.0.1",
            "NodeMeta": {"external-node": "true", "mesh": "test"},
            "Service": {"ID": f"{node}-web", "Service": f"{node}-web", "Port": 80},
            "Check": {"CheckID": "up", "Name": "up", "Status": "passing"},
        }
    )
    found = client.catalog_nodes(filter_expression=f'Node == "{node}"').value
    assert [(one["Address"], one["Meta"]["mesh"]) for one in found] == [("10.0.0.1", "test")]
    services = client.catalog_node_services(node).value
    assert services is not None
    assert list(services["Services"]) == [f"{node}-web"]
    assert [one["Node"] for one in client.catalog_service(f"{node}-web").value] == [node]
    assert [one["Node"]["Node"] for one in client.health_service(f"{node}-web").value] == [node]
    assert f"{node}-web" in client.catalog_services().value

    client.catalog_deregister(node, service_id=f"{node}-web")
    assert client.catalog_service(f"{node}-web").value == []
    client.catalog_deregister(node)
    assert client.catalog_node_services(node).value is None


def test_a_service_is_registered_with_the_agent_of_the_host(
    client: ConsulClient, root: str
) -> None:
    name = root.rpartition("/")[2]
    client.agent_register({"ID": name, "Name": name, "Port": 80, "Meta": {"mesh": "test"}})
    assert client.agent_services()[name]["Meta"] == {"mesh": "test"}
    client.agent_deregister(name)
    assert name not in client.agent_services()
    assert client.agent_self()["Config"]["Server"] is True
