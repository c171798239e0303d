"""The commands, each with the token of its role and no more, at a Consul with TLS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.cli import run
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import SourceError, open_source
from tests.consul.cluster import start_client_agent
from tests.consul.roles import rules, token_for

if TYPE_CHECKING:
    from tests.consul.cluster import Cluster
    from tests.consul.server import ConsulServer

pytestmark = pytest.mark.consul

_BUNDLE = str(Path(__file__).parent.parent / "cases" / "article" / "out")
_MESH = "mesh"
_SERVICES = ("app", "front")
_DENIED = 3


@pytest.fixture(scope="module")
def server(consul_cluster: Cluster) -> ConsulServer:
    return consul_cluster.first


def use(
    environment: pytest.MonkeyPatch, server: ConsulServer, *given: str, at: str | None = None
) -> None:
    """Let the next commands go by these rules."""
    token = token_for(server, *given)
    for name, value in server.environment(token).items():
        environment.setenv(name, value)
    if at is not None:
        environment.setenv("CONSUL_HTTP_ADDR", at)


def publisher(server: ConsulServer) -> str:
    return rules("publisher", MESH=_MESH, AGENT=server.name)


def registrar(server: ConsulServer) -> list[str]:
    return [
        rules("registrar", MESH=_MESH, AGENT=server.name, SERVICE=service) for service in _SERVICES
    ]


def test_a_publisher_publishes_and_an_agent_reads_its_own_files_only(
    server: ConsulServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, server, publisher(server))
    assert run(["publish", "consul", "--out", _BUNDLE]) == 0
    assert run(["publish", "consul", "--out", _BUNDLE, "--again"]) == 0

    use(monkeypatch, server, rules("agent", MESH=_MESH, NODE="front1"))
    for node, is_allowed in (("front1", True), ("myapp1", False)):
        settings = AgentSettings(
            node=node,
            source=f"consul:///{_MESH}",
            target=tmp_path / "target",
            state=tmp_path / "state",
        )
        source = open_source(settings, lambda _digest: None)
        if is_allowed:
            bundle = source.fetch(None)
            assert bundle is not None
            assert bundle.node == node
        else:
            with pytest.raises(SourceError, match="denies"):
                source.fetch(None)
        source.close()
    assert run(["publish", "consul", "--out", _BUNDLE, "--again"]) == _DENIED


def test_a_registrar_registers_and_a_publisher_does_not(
    server: ConsulServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server, publisher(server))
    assert run(["consul", "sync", "--out", _BUNDLE]) == _DENIED

    use(monkeypatch, server, *registrar(server))
    assert run(["consul", "sync", "--out", _BUNDLE]) == 0
    assert run(["consul", "plan", "--out", _BUNDLE]) == 0
    assert run(["consul", "status", "--out", _BUNDLE]) == 0
    _, found = server.call("GET", "/v1/catalog/service/app")
    assert {one["Node"] for one in found} >= {"meshc-mesh-myapp1", "meshc-mesh-myapp2"}


def test_a_host_registers_itself_with_its_own_agent(
    consul_cluster: Cluster, server: ConsulServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server, publisher(server))
    assert run(["publish", "consul", "--out", _BUNDLE]) == 0

    with start_client_agent(consul_cluster, "front1") as agent:
        given = rules("register-local", MESH=_MESH, NODE="front1", SERVICE="front")
        use(monkeypatch, server, given, at=agent.address)
        source = ["--source", f"consul:///{_MESH}"]
        assert run(["consul", "register-local", "front1", *source]) == 0
        assert run(["consul", "register-local", "myapp1", *source]) == _DENIED
        _, found = agent.call("GET", "/v1/agent/services")
        assert {one["Service"] for one in found.values()} == {"front", "envoy-admin"}
