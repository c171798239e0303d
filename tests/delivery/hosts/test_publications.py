"""An agent that follows a publication in a real Consul, under a real Envoy with traffic on it."""

from __future__ import annotations

import subprocess
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from tests.consul.gate import Gate
from tests.consul.server import ConsulServer
from tests.delivery.hosts.mesh import FRONT, NODE, Host, meshc, sample, scrape
from tests.delivery.live import Load, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshc.consul.client import ConsulClient
    from tests.delivery.hosts.mesh import Mesh, Said

pytestmark = [pytest.mark.consul, pytest.mark.envoy]

ROOT = "meshc/v1/hosts"
_PATIENCE_S = 60


@pytest.fixture(scope="module")
def server(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    """A Consul of our own, with its data on disk: it is killed and taken back to yesterday."""
    folder = tmp_path_factory.mktemp("consul")
    settings = {"server": True, "bootstrap_expect": 1}
    with ConsulServer(
        program=consul_binary, log=folder / "log", folder=folder, settings_file=settings
    ) as found:
        yield found


@pytest.fixture
def gate(server: ConsulServer) -> Iterator[Gate]:
    with Gate((server.host, server.ports["http"])) as opened:
        yield opened


@pytest.fixture
def client(server: ConsulServer) -> Iterator[ConsulClient]:
    with server.client() as opened:
        yield opened


def publish(mesh: Mesh, server: ConsulServer, *more: str) -> Said:
    said = meshc("publish", "consul", "--out", mesh.out, *more, environment=server.environment())
    assert said.code == 0, said
    return said


@pytest.fixture
def followed(ready: Host, server: ConsulServer, gate: Gate) -> Iterator[Host]:
    """The host with an agent that follows Consul, and runs what the mesh says at first."""
    publish(ready.mesh, server, "--again")
    ready.start_agent("--source", f"consul://{gate.place}/hosts", "--consul-timeout", "2")
    ready.await_current()
    yield ready
    ready.end_agent()


def snapshot(server: ConsulServer, what: str, file: Path) -> None:
    subprocess.run(
        [server.program, "snapshot", what, f"-http-addr={server.address}", str(file)],
        check=True,
        capture_output=True,
        timeout=_PATIENCE_S,
    )


def go_back(server: ConsulServer, gate: Gate, host: Host, file: Path) -> None:
    """Let Consul be away, and come back with what it was then."""
    gate.set("500")
    await_failure(host)
    snapshot(server, "restore", file)
    gate.set("pass")


def failures(host: Host) -> int:
    count = host.status()["source"]["failures"]
    assert isinstance(count, int)
    return count


def await_failure(host: Host) -> None:
    until(lambda: failures(host) > 0, "a failure of the source", _PATIENCE_S)


def await_recovery(host: Host) -> None:
    until(lambda: failures(host) == 0, "a source that works", _PATIENCE_S)


def add_second(mesh: Mesh) -> None:
    mesh.app["app2"] = mesh.apps["app2"]
    mesh.build()


def trouble(host: Host, server: ConsulServer, gate: Gate, load: Load) -> Iterator[str]:
    """Let Consul be in every kind of trouble, and yield after each."""
    for mode in ("500", "garbage", "huge", "403", "slow"):
        gate.set(mode)
        if mode != "slow":  # that is noticed when a whole waiting time is over
            await_failure(host)
        load.more(50)
        gate.set("pass")
        await_recovery(host)
        yield mode
    server.freeze()
    load.more(100)
    server.thaw()
    yield "frozen"
    server.kill()
    gate.cut()
    await_failure(host)
    load.more(100)
    server.start()
    await_recovery(host)
    yield "killed"


def poison(host: Host, client: ConsulClient) -> Iterator[str]:
    """Write to the host's keys what does not belong there, and yield after each."""
    pointer = f"{ROOT}/nodes/{NODE}"
    entry = client.kv_get(pointer).value
    assert entry is not None
    for value in (b"", b"{}", b'{"resources": []}', entry.value[:-40], b"\0" * 100_000):
        client.kv_put(pointer, value)
        await_failure(host)
        client.kv_put(pointer, entry.value)
        await_recovery(host)
        yield repr(value[:20])
    client.kv_delete(pointer)
    await_failure(host)
    assert "has the node left the mesh" in host.await_state("source-failing")["todo"]
    client.kv_put(pointer, entry.value)
    await_recovery(host)
    yield "no pointer"
    for key in client.kv_keys(f"{ROOT}/blobs/").value:
        client.kv_put(key, b"poison")
    yield "blobs"


def test_whatever_happens_to_consul_files_and_traffic_stay_as_they_are(
    followed: Host, server: ConsulServer, gate: Gate, client: ConsulClient, tmp_path: Path
) -> None:
    host, mesh = followed, followed.mesh
    answers: Counter[str] = Counter()
    yesterday = tmp_path / "yesterday"
    snapshot(server, "save", yesterday)

    with Load((FRONT, mesh.calls["app"]), answers) as load:
        add_second(mesh)
        publish(mesh, server)
        host.await_current()
        until(lambda: answers["app2"] > 0, "an answer of the new host")
        files, traces = host.files(), host.traces()

        for what in chain(trouble(host, server, gate, load), poison(host, client)):
            assert host.traces() == traces, what

        publish(mesh, server, "--again")
        go_back(server, gate, host, yesterday)
        said = host.await_state("held")["summary"]
        load.more(100)
        assert "is not delivered, because it is an older publication" in said
        assert host.files() == files

        publish(mesh, server)
        host.await_state("ok")
        assert host.traces() == traces

    assert answers.keys() == {"app1", "app2"}
    assert load.reconnects == 0


def test_what_consul_brings_back_of_yesterday_is_held_until_it_is_published_again(
    followed: Host, server: ConsulServer, gate: Gate, tmp_path: Path
) -> None:
    """The specs went back too: what shall run is what Consul has, but published at a new time."""
    host, mesh = followed, followed.mesh
    snapshot(server, "save", tmp_path / "yesterday")
    yesterday = host.desired()
    add_second(mesh)
    publish(mesh, server)
    host.await_current()
    go_back(server, gate, host, tmp_path / "yesterday")
    host.await_state("held")
    mesh.reset()
    mesh.build()

    equal = publish(mesh, server)
    still = host.meshc("status")
    again = publish(mesh, server, "--again")
    host.await_current()

    assert "OK (Changed=false)" in equal.out
    assert still.code == 1
    assert f"generation {yesterday[:12]} is not delivered" in still.first
    assert "OK (Changed=true)" in again.out
    assert host.delivered() == yesterday


def test_the_operator_can_let_what_is_older_through(
    followed: Host, server: ConsulServer, gate: Gate, tmp_path: Path
) -> None:
    host, mesh = followed, followed.mesh
    snapshot(server, "save", tmp_path / "yesterday")
    yesterday = host.desired()
    add_second(mesh)
    publish(mesh, server)
    host.await_current()
    go_back(server, gate, host, tmp_path / "yesterday")
    host.await_state("held")

    said = host.meshc("allow", yesterday[:12])
    until(lambda: host.delivered() == yesterday, "the older generation", _PATIENCE_S)

    assert said.code == 0, said
    host.await_state("ok")
    assert [one["what"] for one in host.history()][-3:-1] == ["held", "allowed"]


def test_an_agent_that_was_killed_still_knows_how_far_it_has_followed(
    followed: Host, server: ConsulServer, gate: Gate, tmp_path: Path
) -> None:
    host, mesh = followed, followed.mesh
    snapshot(server, "save", tmp_path / "yesterday")
    add_second(mesh)
    publish(mesh, server)
    host.await_current()
    before = host.traces()
    host.end_agent(9)
    snapshot(server, "restore", tmp_path / "yesterday")

    host.start_agent("--source", f"consul://{gate.place}/hosts")
    host.await_state("held")
    host.end_agent()
    once = host.once("--source", f"consul://{gate.place}/hosts")

    assert once.code == 1
    assert "because it is an older publication" in once.err
    assert host.traces() == before


def test_when_something_was_published_is_in_status_and_metrics(followed: Host) -> None:
    published = followed.status()["published"]
    page = scrape(followed.metrics_socket)

    said = followed.meshc("status")

    assert published["generation"] == followed.desired()
    assert sample(page, "meshc_agent_published_timestamp_seconds") == published["order"] / 1000
    assert "  published     20" in said.out


def test_an_empty_target_is_filled_from_consul_before_envoy_starts(
    ready: Host, server: ConsulServer, tmp_path: Path
) -> None:
    publish(ready.mesh, server, "--again")

    said = meshc(
        "agent",
        "prepare",
        *("--node", NODE, "--target", tmp_path / "target", "--envoy", "none"),
        *("--source", "consul:///hosts"),
        environment=server.environment(),
    )

    assert said.code == 0, said
    assert "laid generation" in said.out
    there = {path.name for path in (tmp_path / "target").glob("*.json")}
    assert there == {"bootstrap.json", "cds.json", "lds.json"}
