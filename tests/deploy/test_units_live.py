"""Both units, run as they are under the restrictions that they ask for, with a real Envoy."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.inotify import room_of
from tests.delivery.live import envoy_or_skip, get, until, upstream
from tests.deploy.host import ADDRESS, Host, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.envoy
AGENT, ENVOY = "meshc-agent", "meshc-envoy"
APPLICATION = "127.0.46.2"


@pytest.fixture(scope="module")
def app() -> Iterator[tuple[str, int]]:
    with upstream(APPLICATION, "app") as address:
        yield address


@pytest.fixture(scope="module")
def host(app: tuple[str, int]) -> Iterator[Host]:
    """A host after its first boot: Envoy's unit, then the agent's."""
    envoy_or_skip()
    with installed() as host:
        host.publish(app)
        prepared = host.prepare(ENVOY)
        assert prepared.returncode == 0, prepared.stderr
        host.start(ENVOY)
        host.start(AGENT)
        host.await_state("ok")
        yield host


def status_of(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_the_first_start_lays_files_out_and_both_services_come_up(host: Host) -> None:
    assert get((ADDRESS, host.egress)) == "app"
    assert host.status()["confirmed"] is True


def test_the_service_manager_hears_that_the_agent_is_ready_and_alive(host: Host) -> None:
    until(lambda: host.has_said("READY=1"), "READY=1")
    until(lambda: host.has_said("WATCHDOG=1"), "WATCHDOG=1")
    until(lambda: any(said.startswith("STATUS=OK: generation") for said in host.said), "STATUS")


def test_the_services_are_different_users_with_no_privilege(host: Host) -> None:
    agent, envoy = status_of(host.pid(AGENT)), status_of(host.pid(ENVOY))

    assert agent["Uid"].split() == [str(host.user("meshc"))] * 4
    assert envoy["Uid"].split() == [str(host.user("envoy"))] * 4
    for found in (agent, envoy):
        assert int(found["CapEff"], 16) == 0
        assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_nobody_but_the_agent_may_write_what_envoy_reads(host: Host) -> None:
    meshc = host.user("meshc")
    places = [host.target, *host.target.rglob("*")]

    for place in places:
        status = place.lstat()
        assert status.st_uid == meshc, place
        assert not status.st_mode & 0o022 or place.is_socket(), place


def test_a_change_is_judged_by_a_local_envoy_and_confirmed_by_the_running_one(
    host: Host, app: tuple[str, int]
) -> None:
    before = host.status()["delivered"]["generation"]

    host.publish(app, timeout="4s")

    def is_there() -> bool:
        status = host.status()
        return bool(status["delivered"]["generation"] != before and status["state"] == "ok")

    until(is_there, "the change", 30)
    assert host.status()["validation"] == "accepted"
    assert get((ADDRESS, host.egress)) == "app"


def test_what_envoy_would_refuse_is_refused_by_the_local_envoy(
    host: Host, app: tuple[str, int]
) -> None:
    delivered = host.status()["delivered"]

    _spoil_a_listener(host.root / "srv/mesh/out")

    until(lambda: host.status()["state"] == "quarantined", "a refusal", 30)
    assert "this host's Envoy refuses" in host.status()["summary"]
    assert host.status()["delivered"] == delivered
    host.publish(app, timeout="5s")
    host.await_state("ok")


def test_root_gives_commands_whatever_its_umask(host: Host) -> None:
    paused = host.agent("pause", "--reason", "a test", umask=0o077)

    assert (paused.returncode, paused.stderr) == (0, "")
    assert host.status()["paused"] == "a test"
    assert host.agent("resume", umask=0o077).returncode == 0


def test_root_sees_the_inotify_instances_of_envoy(host: Host) -> None:
    room = room_of(host.user("envoy"))

    assert room is not None
    assert (room.used, room.is_complete) == (5, True)
    assert host.status()["subscriptions"] == 5


def test_the_metrics_are_served_to_the_agents_group(host: Host) -> None:
    place = host.state / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(place))
        asked.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        answer = b"".join(iter(lambda: asked.recv(65536), b"")).decode()

    assert 'meshc_agent_state{state="ok"} 1' in answer
    limit = Path("/proc/sys/fs/inotify/max_user_instances").read_text().strip()
    assert f"meshc_agent_inotify_instances_limit {limit}\n" in answer
    assert place.stat().st_mode & 0o777 == 0o660


def test_the_agents_service_cannot_write_elsewhere(host: Host) -> None:
    """Enters the agent's mounts, which its user could not leave."""
    tried = subprocess.run(
        ["nsenter", "--mount", "--target", str(host.pid(AGENT)), "touch", "/etc/meshc/x", "/srv/x"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert tried.stderr.count("Read-only file system") == 2


def test_an_envoy_lets_go_of_its_callers_before_it_is_stopped(host: Host) -> None:
    drained = host.drain(ENVOY)
    with pytest.raises(ConnectionRefusedError):
        get((ADDRESS, host.egress))

    assert (drained.returncode, drained.stdout, drained.stderr) == (0, "", "")
    assert host.stop(ENVOY) == 0
    host.await_state("envoy-down")
    assert host.prepare(ENVOY).returncode == 0
    host.start(ENVOY)
    host.await_state("ok")


def test_draining_an_envoy_that_has_gone_says_so(host: Host) -> None:
    assert host.stop(ENVOY) == 0
    host.await_state("envoy-down")

    drained = host.drain(ENVOY)

    assert drained.returncode == 3
    assert f"nobody listens at Envoy's admin address {ADDRESS}" in drained.stderr
    assert host.prepare(ENVOY).returncode == 0
    host.start(ENVOY)
    host.await_state("ok")


def test_an_envoy_that_is_restarted_finds_the_agent_looking_after_its_files(host: Host) -> None:
    assert host.stop(ENVOY) == 0
    host.await_state("envoy-down")

    prepared = host.prepare(ENVOY)
    host.start(ENVOY)

    assert (prepared.returncode, prepared.stderr) == (0, "")
    assert prepared.stdout == "/var/lib/meshc/envoy: whole; the agent looks after it\n"
    host.await_state("ok")


def test_an_envoy_can_be_started_without_the_agent(host: Host) -> None:
    assert host.stop(AGENT) == 0
    assert host.stop(ENVOY) == 0

    prepared = host.prepare(ENVOY)
    host.start(ENVOY)
    host.start(AGENT)

    assert (prepared.returncode, prepared.stdout) == (0, "/var/lib/meshc/envoy: whole\n")
    host.await_state("ok")


def _spoil_a_listener(out: Path) -> None:
    """Make a generation of the source one that no Envoy takes, with a true manifest."""
    place, manifest = out / "nodes/web1/lds.json", out / "manifest.json"
    old = place.read_bytes()
    content = json.loads(old)
    content["resources"][0]["per_connection_buffer_limit_bytes"] = -1
    new = json.dumps(content).encode()
    text = manifest.read_text()
    digests = hashlib.sha256(old).hexdigest(), hashlib.sha256(new).hexdigest()
    assert digests[0] in text
    for path, data in ((place, new), (manifest, text.replace(*digests).encode())):
        draft = path.with_suffix(".draft")
        draft.write_bytes(data)
        draft.rename(path)
