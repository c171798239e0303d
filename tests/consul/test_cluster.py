"""The client against Consuls as they run in earnest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meshc.consul.client import ConsulClient
from meshc.consul.errors import ConsulDeniedError, ConsulUnreachableError
from meshc.consul.settings import load_consul_settings
from tests.consul.authority import Authority
from tests.consul.cluster import start_client_agent
from tests.consul.following import Follower
from tests.delivery.live import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.consul.cluster import Cluster

pytestmark = pytest.mark.consul


def test_over_tls_with_a_token_from_the_environment(consul_cluster: Cluster) -> None:
    environment = consul_cluster.first.environment()
    with ConsulClient(load_consul_settings({}, environment)) as client:
        assert client.kv_put("meshc/v1/tls/key", b"value")
        found = client.kv_get("meshc/v1/tls/key").value
    assert found is not None
    assert found.value == b"value"


def test_a_certificate_of_another_authority_is_not_believed(
    consul_cluster: Cluster, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "somebody else's")
    environment = consul_cluster.first.environment() | {"CONSUL_CACERT": str(other.file)}
    with (
        ConsulClient(load_consul_settings({}, environment)) as client,
        pytest.raises(ConsulUnreachableError, match="certificate does not hold") as found,
    ):
        client.kv_get("key")
    assert found.value.hint is not None
    assert "CONSUL_CACERT" in found.value.hint


def test_a_token_that_does_not_exist_is_denied(consul_cluster: Cluster) -> None:
    with (
        consul_cluster.first.client("00000000-0000-0000-0000-00000000dead") as client,
        pytest.raises(ConsulDeniedError, match="ACL not found"),
    ):
        client.kv_get("meshc/v1/any/key")


def test_a_host_is_registered_by_way_of_its_own_agent(consul_cluster: Cluster) -> None:
    with start_client_agent(consul_cluster) as agent, agent.client() as client:
        client.agent_register({"ID": "web-1", "Name": "web", "Port": 80})
        assert list(client.agent_services()) == ["web-1"]


def test_a_token_that_is_deleted_is_replaced_from_its_file(
    consul_cluster: Cluster, tmp_path: Path
) -> None:
    server = consul_cluster.first
    rules = 'key "key" { policy = "read" }'
    old = server.make_token(rules, "old-reader")
    file = tmp_path / "token"
    file.write_text(old)
    assert server.call("PUT", "/v1/kv/key", "one")[0] == 200
    client = ConsulClient(replace(server.settings_with(""), token_file=file))
    with Follower(client, wait=1.0, chance=1.0) as follower:
        until(lambda: follower.values() == [b'"one"'], "the first value")
        server.end_token(old)
        until(lambda: follower.errors() != [], "the denial")
        assert isinstance(follower.errors()[0], ConsulDeniedError)
        assert server.call("PUT", "/v1/kv/key", "two")[0] == 200
        new = tmp_path / "new"
        new.write_text(server.make_token(rules, "new-reader"))
        new.replace(file)
        until(lambda: follower.values() == [b'"one"', b'"two"'], "the value under the new token", 7)
