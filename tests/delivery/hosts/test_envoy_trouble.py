"""Envoy is down, restarted, stopped, deaf, somebody else, or lies: what the agent makes of it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.delivery.hosts.mesh import FRONT, Host, meshc, sample, scrape
from tests.delivery.hosts.proxy import AdminProxy
from tests.delivery.live import free_ports, get, until

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.fixture
def proxy(ready: Host) -> Iterator[AdminProxy]:
    """A proxy before Envoy's admin interface, with an agent that asks it and has confirmed."""
    with AdminProxy(FRONT, ready.mesh.admin) as found:
        ready.start_agent("--admin", found.url)
        ready.await_current()
        yield found
        ready.end_agent()


def _add_app2(host: Host) -> None:
    host.mesh.app["app2"] = host.mesh.apps["app2"]
    host.mesh.build()


def _answers(host: Host) -> set[str]:
    return {get((FRONT, host.mesh.calls["app"])) for _ in range(8)}


def _overflow(folder: Path) -> None:
    """Rename until the queue of whoever watches the folder and sleeps is full."""
    one, other = folder / ".one", folder / ".other"
    one.write_bytes(b"")
    for _ in range(int(_QUEUE.read_text()) // 2 + 100):
        one.rename(other)
        other.rename(one)
    one.unlink()


# --- down, and up again ---------------------------------------------------------------------------


def test_an_envoy_that_comes_up_later_gets_what_has_come_since(ready: Host) -> None:
    ready.end_envoy()
    ready.start_agent()
    down = ready.await_state("envoy-down")
    files = ready.files()
    _add_app2(ready)
    until(lambda: ready.desired() != ready.delivered(), "a fetch of the new bundle")
    told = ready.meshc("status")
    kept = ready.files()

    ready.start_envoy()
    ready.await_current()

    assert down["confirmed"] is False
    assert told.code == 1
    assert told.first.startswith("ENVOY DOES NOT ANSWER: nobody listens at Envoy's admin address")
    assert "do: start Envoy, or see its log" in told.out
    assert kept == files
    assert _answers(ready) == {"app1", "app2"}


def test_an_idle_restart_of_envoy_is_noticed_and_confirmed(followed: Host) -> None:
    followed.end_envoy()
    followed.await_state("envoy-down")

    followed.start_envoy()
    followed.await_current()

    # On a busy machine it may seem gone for another moment before it answers.
    assert "envoy restarted" in [entry["what"] for entry in followed.history()[-3:]]
    assert _answers(followed) == {"app1"}


def test_envoy_killed_while_it_drains_comes_up_on_a_complete_set(ready: Host) -> None:
    mesh = ready.mesh
    mesh.calls["store"] = free_ports(FRONT, 1)[0]
    mesh.build()
    assert ready.once().code == 0
    ready.end_envoy()
    mesh.drain_time = "60s"
    ready.start_envoy()
    ready.start_agent()
    ready.await_current()
    del mesh.calls["store"]
    mesh.drain_time = "1s"  # of the next Envoy

    mesh.build()
    until(lambda: ready.admin.draining() > 0, "a draining listener")
    ready.end_envoy()
    ready.start_envoy()
    ready.await_current()

    assert _answers(ready) == {"app1"}


def test_envoy_killed_while_clusters_warm_comes_up_on_a_complete_set(ready: Host) -> None:
    ready.start_agent()
    ready.await_current()
    with socket.create_server((FRONT, 0)) as silent:

        def add_slow(content: dict[str, Any]) -> None:
            slow = json.loads(json.dumps(content["resources"][0]) + "\n")
            slow["name"] = slow["load_assignment"]["cluster_name"] = "slow"
            endpoint = slow["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            endpoint["address"]["socket_address"]["port_value"] = silent.getsockname()[1]
            check = {"timeout": "2s", "interval": "9s", "tcp_health_check": {"receive": [_TEXT]}}
            slow["health_checks"] = [check | {"healthy_threshold": 1, "unhealthy_threshold": 1}]
            content["resources"].append(slow)

        ready.mesh.forge("cds.json", add_slow)
        until(lambda: ready.admin.warming() > 0, "a warming cluster")
        ready.end_envoy()
        ready.start_envoy()
        until(lambda: "slow" in ready.admin.cluster_versions(), "the new cluster")
        until(lambda: ready.status()["state"] == "ok", "all well")

    assert ready.desired() == ready.delivered()
    assert _answers(ready) == {"app1"}


_TEXT = {"text": "00"}


def test_the_envoy_of_another_node_gets_nothing(ready: Host, tmp_path: Path) -> None:
    ready.end_envoy()
    shutil.copytree(ready.target, tmp_path / "other", ignore=shutil.ignore_patterns(".*"))
    bootstrap = tmp_path / "other/bootstrap.json"
    bootstrap.write_text(bootstrap.read_text().replace('"front1"', '"other1"'))
    files = ready.files()
    with Host(ready.mesh, tmp_path / "other") as other:
        other.start_envoy()
        _add_app2(ready)

        ready.start_agent()
        ready.await_state("envoy-down")
        until(lambda: ready.desired() != ready.delivered(), "a fetch")
        told = ready.meshc("status")

    assert told.code == 1
    assert 'is node "other1", not "front1"' in told.first
    assert ready.files() == files


# --- admin that hangs or lies -----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["garbage", "hang"])
def test_an_admin_that_lies_leaves_the_agent_awake_and_is_forgiven(
    ready: Host, proxy: AdminProxy, mode: str
) -> None:
    proxy.mode = mode
    down = ready.await_state("envoy-down")
    paused = ready.meshc("pause")
    resumed = ready.meshc("resume")
    _add_app2(ready)
    until(lambda: ready.desired() != ready.delivered(), "a fetch")
    page = ready.meshc("status")

    proxy.mode = "pass"
    ready.await_current()

    assert down["confirmed"] is False
    assert (paused.code, resumed.code) == (0, 0)
    assert page.code == 1
    assert "NOT confirmed" in page.out
    assert _answers(ready) == {"app1", "app2"}


def test_an_endless_answer_is_cut_off_and_costs_no_memory(ready: Host, proxy: AdminProxy) -> None:
    assert ready.agent is not None

    proxy.mode = "endless"
    ready.await_state("envoy-down")
    paused = ready.meshc("pause")
    ready.meshc("resume")
    peak = next(
        int(line.split()[1]) // 1024
        for line in Path(f"/proc/{ready.agent.pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    proxy.mode = "pass"
    ready.await_current()

    assert paused.code == 0
    assert proxy.sent < 32 << 20
    assert peak < 64


def test_a_version_that_nobody_knows_yet_is_shown_as_it_is(ready: Host, proxy: AdminProxy) -> None:
    proxy.mode = "renamed"

    until(lambda: ready.status()["envoy"]["version"] == "9.9.9-dev", "the version")
    _add_app2(ready)
    ready.await_current()

    assert ready.meshc("status").code == 0


def test_a_stopped_envoy_is_not_taken_for_a_restarted_one(followed: Host) -> None:
    assert followed.envoy is not None

    followed.envoy.send_signal(signal.SIGSTOP)
    down = followed.await_state("envoy-down")
    paused = followed.meshc("pause")
    followed.meshc("resume")
    followed.envoy.send_signal(signal.SIGCONT)
    followed.await_current()

    assert "no complete answer in time" in down["summary"]
    assert paused.code == 0
    assert followed.history()[-1]["what"] == "envoy is there"


# --- events that never arrive -------------------------------------------------------------------


def test_an_overflow_of_envoys_queue_is_noticed_and_mended(ready: Host) -> None:
    assert ready.envoy is not None
    old = ready.admin.versions()["listener_manager.lds.version_text"]
    ready.mesh.calls["app"] = free_ports(FRONT, 1)[0]
    ready.mesh.build()
    ready.envoy.send_signal(signal.SIGSTOP)
    _overflow(ready.target)
    assert ready.once("--unconfirmed", "--unconfirmed-wait", "0.01").code == 0
    ready.envoy.send_signal(signal.SIGCONT)
    until(lambda: ready.admin.draining() == 0, "an Envoy that answers")
    missed = ready.admin.versions()["listener_manager.lds.version_text"]

    ready.start_agent()
    ready.await_current()

    assert missed == old
    assert ready.history()[-1]["what"] == "delivered again"
    assert _answers(ready) == {"app1"}


def test_a_replaced_target_asks_for_a_restart_of_envoy(ready: Host) -> None:
    ready.start_agent()
    ready.await_current()
    aside = ready.target.with_name("aside")

    ready.target.rename(aside)
    shutil.copytree(aside, ready.target, ignore=shutil.ignore_patterns("*.sock"))
    ready.await_state("failing")
    told = ready.meshc("status")
    second = meshc("agent", "once", *ready.arguments())
    page = scrape(ready.metrics_socket)
    ready.end_envoy()
    ready.start_envoy()
    until(lambda: ready.meshc("status").code == 0, "all well after a restart")
    _add_app2(ready)
    ready.await_current()

    assert told.code == 1
    assert told.first.startswith("THE TARGET WAS REPLACED while Envoy ran")
    assert "do: restart Envoy" in told.out
    assert "another agent has" in second.err
    assert sample(page, 'meshc_agent_state{state="failing"}') == 1
    assert _answers(ready) == {"app1", "app2"}
