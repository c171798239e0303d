"""`meshc consul register-local` with the real agent of a host, its server, TLS and access rules."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from meshc.cli import run
from tests.consul.cluster import start_client_agent
from tests.consul.roles import rules, token_for
from tests.delivery.live import until
from tests.delivery.register.conftest import Answer, Registrar
from tests.delivery.register.ready_envoy import ReadyEnvoy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.consul.cluster import Cluster
    from tests.consul.server import ConsulServer

pytestmark = pytest.mark.consul


@pytest.fixture(scope="module")
def agent(consul_cluster: Cluster) -> Iterator[ConsulServer]:
    """The agent of a host."""
    with start_client_agent(consul_cluster, f"host-{secrets.token_hex(3)}") as started:
        yield started


class Host(Registrar):
    """Somebody on a host with an agent."""

    def register(self, node: str, *arguments: str) -> Answer:
        self.mesh.build()
        return self.run_only("register-local", node, "--source", str(self.mesh.out), *arguments)

    def local(self) -> dict[str, tuple[str, str, int]]:
        """What of this mesh the agent has."""
        return {
            key: (one["Service"], one["Address"], one["Port"])
            for key, one in self.client.agent_services().items()
            if one["Meta"].get("mesh") == self.mesh.name
        }

    def in_catalogue(self, service: str) -> list[dict[str, Any]]:
        expression = f'ServiceMeta["mesh"] == "{self.mesh.name}"'
        return self.client.catalog_service(service, filter_expression=expression).value


@pytest.fixture
def host(registrar: Registrar, agent: ConsulServer) -> Iterator[Host]:
    with agent.client() as client:
        made = Host(registrar.mesh, agent, client, registrar.capture, registrar.monkeypatch)
        yield made
        for service in made.local():
            client.agent_deregister(service)


def test_what_runs_on_the_host_is_registered_and_nothing_else(host: Host) -> None:
    mesh = host.mesh.name

    answer = host.register("app1")

    assert answer.code == 0
    assert f"+ meshc:{mesh}:service:app:app1" in answer.out
    assert "OK (Changed=true)" in answer.out
    assert host.local() == {
        f"meshc:{mesh}:service:app:app1": ("app", "10.0.0.1", 8000),
        f"meshc:{mesh}:admin:app1": ("envoy-admin", "10.0.0.1", 9901),
    }


def test_the_agent_brings_it_into_the_catalogue_with_its_checks(host: Host) -> None:
    host.register("app1")

    until(lambda: len(host.in_catalogue("app")) == 1, "the service is in the catalogue")

    (found,) = host.in_catalogue("app")
    assert found["Node"] == host.server.name
    assert found["ServiceMeta"]["node"] == "app1"
    (health,) = host.client.health_service(
        "app", filter_expression=f'Service.Meta["mesh"] == "{host.mesh.name}"'
    ).value
    own = [one["Name"] for one in health["Checks"] if one["ServiceID"]]
    assert sorted(own) == ["Envoy is ready", "inbound listener"]


@pytest.mark.parametrize("interval", ["10", "60"])
def test_a_second_run_changes_nothing(host: Host, interval: str) -> None:
    host.register("app1", "--check-interval", interval)

    answer = host.register("app1", "--check-interval", interval)

    assert answer.code == 0
    assert "OK (Changed=false)" in answer.out
    assert "0 registered, 0 removed, 2 unchanged" in answer.out


def test_an_address_that_moved_is_updated(host: Host) -> None:
    host.register("app1")
    host.mesh.put("app", "app1", "10.0.0.9", 8009)

    answer = host.register("app1")

    mesh = host.mesh.name
    assert f"~ meshc:{mesh}:service:app:app1" in answer.out
    assert host.local()[f"meshc:{mesh}:service:app:app1"] == ("app", "10.0.0.9", 8009)
    until(
        lambda: [one["ServiceAddress"] for one in host.in_catalogue("app")] == ["10.0.0.9"],
        "the catalogue has the new address",
    )


def test_app1_is_taken_out_without_app10(host: Host) -> None:
    host.mesh.put("app1", "app1", "10.0.0.1", 8001)
    host.mesh.put("app10", "app1", "10.0.0.1", 8002)
    host.register("app1")
    host.mesh.take_out("app1", "app1")

    answer = host.register("app1")

    assert f"- meshc:{host.mesh.name}:service:app1:app1" in answer.out
    assert {name for name, _, _ in host.local().values()} == {"app", "app10", "envoy-admin"}


def test_services_of_others_stay(host: Host) -> None:
    theirs = f"theirs-{secrets.token_hex(4)}"
    host.client.agent_register({"ID": theirs, "Name": "app", "Meta": {"mesh": host.mesh.name}})
    host.register("app1")

    host.run_only("register-local", "app1", "--remove", "--mesh", host.mesh.name)

    assert set(host.local()) == {theirs}


def test_a_host_that_was_renamed_is_registered_once(host: Host) -> None:
    host.register("app1")
    host.mesh.take_out("app", "app1")
    host.mesh.put("app", "app-one", "10.0.0.1")

    host.register("app-one")

    mesh = host.mesh.name
    assert set(host.local()) == {f"meshc:{mesh}:service:app:app-one", f"meshc:{mesh}:admin:app-one"}


def test_a_node_that_is_not_in_the_mesh_changes_nothing(host: Host) -> None:
    host.register("app1")
    before = host.local()

    answer = host.register("app11")

    assert answer.code == 2
    assert 'did you mean "app1"?' in answer.err
    assert host.local() == before


def test_a_host_that_is_given_up_is_taken_out(host: Host) -> None:
    host.register("app1")
    host.register("app2")

    answer = host.run_only(
        *("register-local", "app1", "--remove", "--mesh", host.mesh.name, "--format", "json")
    )

    assert answer.code == 0
    mesh = host.mesh.name
    assert answer.data["removed"] == [f"meshc:{mesh}:admin:app1", f"meshc:{mesh}:service:app:app1"]
    assert answer.data["changed"] is True
    assert {key.rpartition(":")[2] for key in host.local()} == {"app2"}


def test_an_id_that_is_somebody_elses_is_refused(host: Host) -> None:
    taken = f"meshc:{host.mesh.name}:admin:app1"
    host.client.agent_register({"ID": taken, "Name": "theirs"})

    answer = host.register("app1")

    assert answer.code == 1
    assert f'refused: the agent has a service "{taken}" that is not of this mesh' in answer.err
    assert "REFUSED (Changed=false)" in answer.err
    assert host.local() == {}
    host.client.agent_deregister(taken)


def test_a_host_that_its_agent_registers_is_not_registered_twice(host: Host) -> None:
    assert host.run("sync").code == 0
    host.register("app1")
    until(lambda: len(host.in_catalogue("app")) == 3, "the service is in the catalogue twice")

    answer = host.run("sync")

    assert answer.code == 0
    assert f"registered by agents of their own: app1 (on {host.server.name})" in answer.out
    nodes = sorted(one["Node"] for one in host.in_catalogue("app"))
    assert nodes == sorted([host.server.name, host.name("app2")])
    assert host.run("status").code == 0
    assert host.run("sync", "--remove-all").code == 0
    assert [one["Node"] for one in host.in_catalogue("app")] == [host.server.name]


def test_a_host_that_left_the_mesh_and_not_its_agent_is_told_of(host: Host) -> None:
    host.register("app1")
    until(lambda: len(host.in_catalogue("app")) == 1, "the service is in the catalogue")
    host.mesh.take_out("app", "app1")
    host.run("sync")

    answer = host.run("status")

    assert answer.code == 1
    assert f"no longer in the mesh: app1 (on {host.server.name})" in answer.out
    assert answer.out.count("register-local") == 1
    host.run("sync", "--remove-all")


def test_a_published_folder_is_a_source(host: Host) -> None:
    host.mesh.build()
    place = host.mesh.folder / "published"
    host.monkeypatch.setenv("MESHC_OUT", str(host.mesh.out))
    assert run(["publish", "dir", str(place)]) == 0

    answer = host.run_only("register-local", "app1", "--source", str(place))

    assert answer.code == 0
    assert len(host.local()) == 2
    assert host.run_only("register-local", "app9", "--source", str(place)).code == 2


def test_what_was_published_in_consul_is_a_source(host: Host) -> None:
    host.mesh.build()
    for name, value in host.server.environment().items():
        host.monkeypatch.setenv(name, value)
    host.monkeypatch.setenv("MESHC_OUT", str(host.mesh.out))
    assert run(["publish", "consul"]) == 0
    source = f"consul:///{host.mesh.name}"

    answer = host.run_only("register-local", "app1", "--source", source)

    assert answer.code == 0
    assert len(host.local()) == 2
    host.mesh.take_out("app", "app1")
    host.mesh.build()
    assert run(["publish", "consul"]) == 0
    assert host.run_only("register-local", "app1", "--source", source).code == 2
    assert len(host.local()) == 2


def test_the_delivery_agents_settings_say_who_and_from_where(host: Host) -> None:
    host.mesh.build()
    settings = host.mesh.folder / "agent.toml"
    target = host.mesh.folder / "target"
    settings.write_text(f'node = "app2"\nsource = "{host.mesh.out}"\ntarget = "{target}"\n')

    answer = host.run_only("register-local", "--agent-config", str(settings))

    assert answer.code == 0
    assert f"meshc:{host.mesh.name}:service:app:app2" in host.local()


def test_a_source_in_consul_is_reached_as_the_delivery_agents_settings_say(
    host: Host, consul_cluster: Cluster
) -> None:
    """Its own Consul, however this host's agent is reached."""
    host.mesh.build()
    for name, value in host.server.environment().items():
        host.monkeypatch.setenv(name, value)
    host.monkeypatch.setenv("MESHC_OUT", str(host.mesh.out))
    assert run(["publish", "consul"]) == 0
    settings = host.mesh.folder / "agent.toml"
    text = f"""
node = "app1"
source = "consul:///{host.mesh.name}"
target = "{host.mesh.folder / "target"}"
consul_address = "{consul_cluster.first.address}"
"""
    settings.write_text(text)

    answer = host.run_only("register-local", "--agent-config", str(settings))

    assert answer.code == 0
    assert len(host.local()) == 2
    settings.write_text(text.replace(consul_cluster.first.address, "http://127.0.47.9:1"))
    assert host.run_only("register-local", "--agent-config", str(settings)).code == 3


def test_who_says_nothing_on_a_host_without_settings_is_told_what_to_say(host: Host) -> None:
    nothing = str(host.mesh.folder / "none.toml")

    answer = host.run_only("register-local", "--agent-config", nothing)

    assert answer.code == 2
    assert "say NODE and --source DIR" in answer.err


def test_a_source_that_cannot_be_read_changes_nothing(host: Host) -> None:
    host.register("app1")
    before = host.local()
    (host.mesh.out / "manifest.json").write_text("{")

    assert host.run_only("register-local", "app1", "--source", str(host.mesh.out)).code == 3
    assert host.run_only("register-local", "app1", "--source", "https://example.org/out").code == 2
    assert host.local() == before


def test_an_agent_that_is_down_is_said_with_exit_code_3(host: Host) -> None:
    answer = host.register("app1", "--consul-address", "http://127.0.47.9:1")

    assert answer.code == 3
    assert "does not answer" in answer.err
    assert "FAILED (Changed=false)" in answer.err
    assert "OK" not in answer.out


def token_file(host: Host, *services: str) -> tuple[str, str]:
    given = {"MESH": host.mesh.name, "NODE": "app1"}
    token = token_for(
        host.server, *(rules("register-local", SERVICE=service, **given) for service in services)
    )
    file = host.mesh.folder / "token"
    file.write_text(token)
    return "--consul-token-file", str(file)


def test_the_rules_of_the_role_are_enough(host: Host) -> None:
    given = token_file(host, "app")

    assert host.register("app1", *given).code == 0
    assert "OK (Changed=false)" in host.register("app1", *given).out


def test_what_the_token_may_not_write_is_not_said_to_be_done(host: Host) -> None:
    """The first service is registered, and that is what is told."""
    host.mesh.put("web", "app1", "10.0.0.1", 8001)
    given = token_file(host, "app")

    answer = host.register("app1", *given, "--format", "json")

    assert answer.code == 3
    data = answer.data
    assert (data["ok"], data["changed"]) == (False, True)
    assert data["registered"] == [f"meshc:{host.mesh.name}:service:app:app1"]
    assert set(host.local()) == set(data["registered"])
    assert "denies that" in data["error"]


def test_a_service_passes_while_its_listener_and_its_envoy_are_there(host: Host) -> None:
    address = "127.0.47.2"

    def passing() -> list[str]:
        found = host.client.health_service(
            "app", passing=True, filter_expression=f'Service.Meta["mesh"] == "{host.mesh.name}"'
        ).value
        return [one["Service"]["Meta"]["node"] for one in found]

    with ReadyEnvoy(address) as envoy:
        port, admin = envoy.ports
        host.mesh.put("app", "app1", address, port, adminAddr={"host": address, "port": admin})
        assert host.register("app1", "--check-interval", "1").code == 0
        until(lambda: passing() == ["app1"], "it passes")

        envoy.is_ready = False
        until(lambda: passing() == [], "an Envoy that drains does not pass")
        envoy.is_ready = True
        until(lambda: passing() == ["app1"], "it passes again")

        envoy.listener.close()
        until(lambda: passing() == [], "a listener that is gone does not pass")
