"""Three servers, of which one and then two die: what a client of the third goes through."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from meshc.consul.errors import ConsulError, ConsulUnavailableError, ConsulUnreachableError
from tests.consul.cluster import start_cluster
from tests.consul.following import Follower
from tests.delivery.live import until

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.consul.client import ConsulClient

pytestmark = pytest.mark.consul

_LIMIT_S = 60.0  # a server holds a question back for seconds before it says that nobody leads


def written(client: ConsulClient, value: bytes) -> bool:
    with contextlib.suppress(ConsulError):
        return client.kv_put("key", value)
    return False


def is_without_a_leader(client: ConsulClient) -> bool:
    """Whether a question to the leader fails: denied by the server, or held for too long."""
    try:
        client.kv_get("key")
    except (ConsulUnavailableError, ConsulUnreachableError):
        return True
    return False


def stale_value(client: ConsulClient) -> bytes | None:
    found = client.kv_get("key", consistency="stale").value
    return None if found is None else found.value


def test_servers_die_and_return_and_a_client_goes_on(consul_binary: Path, tmp_path: Path) -> None:
    with start_cluster(consul_binary, tmp_path, 3) as cluster, contextlib.ExitStack() as stack:
        leader = cluster.leader()
        first, second = (one for one in cluster.servers if one is not leader)
        client = stack.enter_context(first.client())
        follower = stack.enter_context(Follower(first.client(), wait=5.0, chance=0.05))
        assert client.kv_put("key", b"before")
        until(lambda: follower.values()[-1:] == [b"before"], "the value before", _LIMIT_S)

        leader.kill()
        until(lambda: written(client, b"during"), "another leader", _LIMIT_S)
        until(lambda: follower.values()[-1] == b"during", "the value under it", _LIMIT_S)

        # A server may know of a value before it has it itself.
        until(lambda: stale_value(client) == b"during", "the value on the third", _LIMIT_S)
        second.kill()
        until(lambda: is_without_a_leader(client), "nobody leads", _LIMIT_S)
        assert stale_value(client) == b"during"
        until(lambda: follower.errors() != [], "the follower misses an answer", _LIMIT_S)

        second.launch()
        until(lambda: written(client, b"after"), "two of three lead again", _LIMIT_S)
        until(lambda: follower.values()[-1] == b"after", "the value after", _LIMIT_S)
