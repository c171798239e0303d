"""What an agent's token has to allow, and that one which allows less changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.health.follower import Follower
from tests.consul.roles import rules, token_for
from tests.delivery.live import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.consul.cluster import Cluster
    from tests.consul.server import ConsulServer

pytestmark = pytest.mark.consul


@pytest.fixture(scope="module")
def server(consul_cluster: Cluster) -> Iterator[ConsulServer]:
    """A server with access rules that knows two instances of a service."""
    found = consul_cluster.first
    with found.client() as client:
        for number in (1, 2):
            client.catalog_register(
                {
                    "Node": f"guarded-{number}",
                    "Address": f"10.3.0.{number}",
                    "Service": {"ID": f"guarded-{number}", "Service": "guarded", "Port": 80},
                }
            )
        yield found
        for number in (1, 2):
            client.catalog_deregister(f"guarded-{number}")


def follow(server: ConsulServer, token: str, told: list[float]) -> Follower:
    return Follower(server.settings_with(token), told.append)


def test_the_role_of_an_agent_that_follows_health_is_enough(server: ConsulServer) -> None:
    told: list[float] = []
    token = token_for(server, rules("agent-health", SERVICE="guarded"))
    follower = follow(server, token, told)
    try:
        follower.know("guarded")
        until(lambda: bool(told), "Consul's word")

        known = follower.know("guarded")
    finally:
        follower.close()

    assert known.instances is not None
    assert [str(one.address) for one in known.instances] == ["10.3.0.1:80", "10.3.0.2:80"]
    assert known.problem == ""


@pytest.mark.parametrize(
    "text",
    ['service "other" { policy = "read" }', 'service "guarded" { policy = "read" }'],
    ids=["no service", "no node"],
)
def test_a_token_that_may_not_see_all_changes_nothing(server: ConsulServer, text: str) -> None:
    told: list[float] = []
    follower = follow(server, token_for(server, text), told)
    try:
        until(lambda: bool(follower.know("guarded").problem), "a problem")

        known = follower.know("guarded")
    finally:
        follower.close()

    assert known.instances is None
    assert "the token may not see all instances" in known.problem
    assert told == []
