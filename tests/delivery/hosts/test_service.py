"""The agent as a service: signals, the service manager's socket, and metrics over TCP."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.delivery.hosts.mesh import FRONT, sample, scrape
from tests.delivery.live import free_ports, get, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.delivery.hosts.mesh import Host

_LIMIT_S = 20


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(place)
        self._socket.settimeout(_LIMIT_S)

    def hear_until(self, wanted: str, count: int = 1) -> None:
        while sum(wanted in line for line in self.heard) < count:
            self.heard += self._socket.recv(65536).decode().splitlines()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with contextlib.closing(Manager(str(tmp_path / "notify"))) as found:
        yield found


def test_the_service_manager_hears_of_readiness_life_state_and_end(
    ready: Host, manager: Manager
) -> None:
    told = {"NOTIFY_SOCKET": manager.place, "WATCHDOG_USEC": "400000"}

    ready.start_agent(environment=told)
    manager.hear_until("READY=1")
    manager.hear_until("STATUS=OK: generation ")
    manager.hear_until("WATCHDOG=1", count=3)
    code = ready.end_agent()
    manager.hear_until("STOPPING=1")

    assert code == 0
    assert manager.heard.index("READY=1") > 0
    assert manager.heard[-2:] == ["STOPPING=1", "STATUS=stopping"]


def test_readiness_is_told_while_envoy_is_still_down(ready: Host, manager: Manager) -> None:
    ready.end_envoy()

    ready.start_agent(environment={"NOTIFY_SOCKET": manager.place})
    manager.hear_until("STATUS=ENVOY DOES NOT ANSWER")
    manager.hear_until("READY=1")

    assert ready.status()["state"] == "envoy-down"


def test_a_termination_while_listeners_drain_ends_soon_and_the_next_start_goes_on(
    ready: Host,
) -> None:
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
    mesh.drain_time = "1s"

    mesh.build()
    until(lambda: ready.admin.draining() > 0, "a draining listener")
    until(lambda: ready.status()["state"] == "delivering", "a delivery that waits")
    began = time.monotonic()
    code = ready.end_agent()
    took = time.monotonic() - began
    answer = get((FRONT, mesh.calls["app"]))
    ready.end_envoy()
    ready.start_envoy()
    ready.start_agent()
    ready.await_current()

    assert code == 0
    assert took < 10  # of the 60 s that Envoy drains
    assert answer == "app1"


def test_a_hangup_fetches_at_once(ready: Host, tmp_path: Path) -> None:
    link, old = tmp_path / "source", tmp_path / "old"
    shutil.copytree(ready.mesh.out, old)
    link.symlink_to(old)
    ready.start_agent("--source", link, "--poll", "3600")
    ready.await_current()
    assert ready.agent is not None
    ready.mesh.app["app2"] = ready.mesh.apps["app2"]
    ready.mesh.build()
    link.unlink()
    link.symlink_to(ready.mesh.out)

    ready.agent.send_signal(signal.SIGHUP)

    ready.await_current()


def test_metrics_are_served_over_loopback_through_a_refusal(ready: Host) -> None:
    place = (FRONT, free_ports(FRONT, 1)[0])
    ready.start_agent("--metrics", f"http://{place[0]}:{place[1]}")
    ready.await_current()
    before = scrape(place)

    with socket.create_server((FRONT, 0)) as taken:
        ready.mesh.calls["store"] = taken.getsockname()[1]
        ready.mesh.build()
        ready.await_state("quarantined")
        refused = scrape(place)
    ready.mesh.calls["store"] = free_ports(FRONT, 1)[0]
    ready.mesh.build()
    ready.await_current()
    after = scrape(place)

    assert before.startswith("HTTP/1.1 200 OK")
    counter = 'meshc_agent_deliveries_total{outcome="rejected"}'
    assert [sample(page, counter) for page in (before, refused, after)] == [0, 1, 1]
    counter = 'meshc_agent_deliveries_total{outcome="delivered"}'
    assert [sample(page, counter) for page in (before, refused, after)] == [0, 0, 1]
    assert sample(refused, "meshc_agent_quarantined_generations") == 1
    assert sample(after, "meshc_agent_delivery_seconds_count") == 1
    assert sample(after, 'meshc_agent_state{state="ok"}') == 1


def test_a_metrics_port_that_is_taken_ends_the_agent_with_3(ready: Host) -> None:
    with socket.create_server((FRONT, 0)) as taken:
        agent = ready.start_agent("--metrics", f"http://{FRONT}:{taken.getsockname()[1]}")
        code = agent.wait(_LIMIT_S)
    ready.agent = None

    assert code == 3
    assert "cannot serve metrics at" in ready.words()
    assert "choose another place with --metrics" in ready.words()
