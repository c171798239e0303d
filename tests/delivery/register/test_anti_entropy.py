"""What agents do to a catalogue: each compares it with what it knows, at its start and ever after.

A round is seen in a canary: an entry on the agent's own node that the agent does not know, and
takes out.  A restart makes a round at once; left alone an agent takes a minute or two, and does
the same.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.consul.cluster import start_client_agent
from tests.consul.roles import rules, token_for
from tests.delivery.live import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.consul.cluster import Cluster
    from tests.consul.server import ConsulServer
    from tests.delivery.register.conftest import Registrar

pytestmark = pytest.mark.consul

_TOLD = "the agent has told the servers"


@pytest.fixture
def agent(consul_cluster: Cluster) -> Iterator[ConsulServer]:
    with start_client_agent(consul_cluster, f"round-{secrets.token_hex(3)}") as started:
        yield started


class Canary:
    """An entry that an agent's next round takes out."""

    def __init__(self, registrar: Registrar, agent: ConsulServer) -> None:
        self._client, self._node = registrar.client, agent.name
        self.id = f"canary-{secrets.token_hex(4)}"
        self._client.catalog_register(
            {
                "Node": self._node,
                "SkipNodeUpdate": True,
                "Address": agent.host,
                "Service": {"ID": self.id, "Service": "canary"},
            }
        )
        assert self.is_there

    @property
    def is_there(self) -> bool:
        found = self._client.catalog_node_services(self._node).value
        return found is not None and self.id in found["Services"]


def set_up(registrar: Registrar, cluster: Cluster, agent: ConsulServer) -> str:
    """Register app1 by way of the agent and the others in the catalogue; return app1's id."""
    registrar.server = agent
    registrar.client = cluster.first.client()
    registrar.mesh.build()
    source = str(registrar.mesh.out)
    assert registrar.run_only("register-local", "app1", "--source", source).code == 0
    own = f"meshc:{registrar.mesh.name}:service:app:app1"
    until(
        lambda: own in registrar.services(agent.name), "the agent has told the servers", limit_s=180
    )
    registrar.server = cluster.first
    assert registrar.run("sync").code == 0
    assert set(registrar.registered()) == set(map(registrar.name, ["app2", "web1"]))
    return own


def test_both_ways_last_over_rounds_in_which_an_agent_takes_out_what_it_does_not_know(
    registrar: Registrar, consul_cluster: Cluster, agent: ConsulServer
) -> None:
    own = set_up(registrar, consul_cluster, agent)
    before = registrar.indexes()

    for _ in range(2):
        canary = Canary(registrar, agent)
        agent.kill()
        agent.start()
        until(lambda: not canary.is_there, "a round", limit_s=180)  # noqa: B023, called at once

        assert registrar.indexes() == before
        assert own in registrar.services(agent.name)
        assert registrar.run("status").code == 0

    registrar.client.close()


def test_a_token_that_was_replaced_is_told_to_the_agent_when_asked_for(
    registrar: Registrar, consul_cluster: Cluster, agent: ConsulServer
) -> None:
    """An agent goes on using the token that a service was registered with."""
    server = consul_cluster.first
    given = {"MESH": registrar.mesh.name, "NODE": "app1", "SERVICE": "app"}
    file = registrar.mesh.folder / "token"
    source = str(registrar.mesh.build())
    arguments = ("register-local", "app1", "--source", source, "--consul-token-file", str(file))
    own = f"meshc:{registrar.mesh.name}:service:app:app1"
    old = token_for(server, rules("register-local", **given))
    file.write_text(old)
    registrar.server = agent
    assert registrar.run_only(*arguments).code == 0
    with server.client() as client:
        registrar.client = client
        until(
            lambda: own in registrar.services(agent.name),
            _TOLD,
            limit_s=180,
        )
        file.write_text(token_for(server, rules("register-local", **given)))
        server.end_token(old)
        client.catalog_deregister(agent.name, service_id=own)
        canary = Canary(registrar, agent)
        agent.kill()
        agent.start()
        until(lambda: not canary.is_there, "a round", limit_s=180)

        assert "OK (Changed=false)" in registrar.run_only(*arguments).out
        assert own not in registrar.services(agent.name)
        assert "OK (Changed=true)" in registrar.run_only(*arguments, "--again").out
        until(
            lambda: own in registrar.services(agent.name),
            _TOLD,
            limit_s=180,
        )
