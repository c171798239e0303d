"""One of two hosts, or its application, is down: nobody who calls them notices."""

from __future__ import annotations

import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.drain import drain
from tests.requests.asking import ask_for, connect_for, get
from tests.requests.running import Places, Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.envoy

_NETWORK = "127.0.50"
_LARGE = b"x" * 5_000_000


@pytest.fixture
def http(tmp_path: Path) -> Iterator[tuple[Running, Places]]:
    places = Places(_NETWORK)
    with Running(tmp_path, places.specs()) as mesh:
        for number, place in enumerate(places.applications, start=1):
            mesh.start_application("http", place, f"app{number}")
        yield mesh, places


@pytest.mark.parametrize("clients", [1, 40])
def test_a_host_that_is_down_is_noticed_by_nobody(
    http: tuple[Running, Places], clients: int
) -> None:
    mesh, places = http
    mesh.stop_envoy("s2")

    answers = ask_for(places.egress, 2, clients=clients)

    assert set(answers) == {"200"}
    assert answers.total() > 100


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_application_that_is_down_behind_its_envoy_is_noticed_by_nobody(
    http: tuple[Running, Places], method: str
) -> None:
    mesh, places = http
    mesh.stop_application("app2")

    answers = ask_for(places.egress, 2, clients=10, method=method, body=b"hello")

    assert set(answers) == {"200"}
    assert answers.total() > 100


def test_an_application_s_own_503_is_not_touched(http: tuple[Running, Places]) -> None:
    mesh, places = http

    answers = [get(places.egress, "/status?503") for _ in range(20)]

    assert {answer.status for answer in answers} == {503}
    assert {answer.getheader("x-app") for answer in answers} == {"app1", "app2"}
    assert mesh.admin("c1").gauges("outlier_detection.ejections_active$") == {
        "cluster.outbound/svc.outlier_detection.ejections_active": 0
    }


def test_the_mark_of_an_application_that_is_down_is_not_passed_on(
    http: tuple[Running, Places],
) -> None:
    mesh, places = http
    for name in ("app1", "app2"):
        mesh.stop_application(name)

    direct, through = get(places.ingresses[0]), get(places.egress)

    assert (direct.status, direct.getheader("x-meshc-failure")) == (503, "unreached")
    assert (through.status, through.getheader("x-meshc-failure")) == (503, None)


def test_a_request_that_may_be_repeated_is_where_its_application_ends_it(
    http: tuple[Running, Places],
) -> None:
    """It is asked on every host; one that may not be repeated is asked once."""
    mesh, places = http

    read = get(places.egress, "/close", headers={"x-id": "read"})
    wrote = get(places.egress, "/close", method="POST", body=b"x", headers={"x-id": "wrote"})

    seen = [*mesh.seen("app1"), *mesh.seen("app2")]
    assert (read.status, seen.count("read")) == (503, 5)
    assert {"read"} <= set(mesh.seen("app1")) & set(mesh.seen("app2"))
    assert (wrote.status, seen.count("wrote")) == (503, 1)


@pytest.mark.parametrize("size", [1_000_000, 1_060_000, 5_000_000, 20_000_000])
def test_an_upload_finds_the_host_that_is_there(http: tuple[Running, Places], size: int) -> None:
    mesh, places = http
    mesh.stop_envoy("s2")

    answers = [
        get(places.egress, method="POST", body=_LARGE * (size // len(_LARGE)) or b"x" * size)
        for _ in range(10)
    ]

    assert {answer.status for answer in answers} == {200}
    assert {answer.getheader("x-body") for answer in answers} == {str(size)}


def test_an_envoy_that_hangs_gets_nothing_any_more(http: tuple[Running, Places]) -> None:
    mesh, places = http
    assert set(ask_for(places.egress, 0.5, clients=4)) == {"200"}

    mesh.envoys["s2"].hang()
    during = ask_for(places.egress, 3, clients=4)
    began = time.monotonic()
    afterwards = ask_for(places.egress, 1, clients=4)

    assert set(during) == {"200"}
    assert set(afterwards) == {"200"}
    assert time.monotonic() - began < 10, "somebody waited for it"
    ejected = mesh.admin("c1").gauges("outlier_detection.ejections_active$")
    assert set(ejected.values()) == {1}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_envoy_that_is_drained_and_stopped_cuts_no_request(
    http: tuple[Running, Places], method: str
) -> None:
    mesh, places = http
    told: list[tuple[str, int]] = []
    answers: dict[str, int] = {}

    def stop() -> None:
        result = drain(
            mesh.admin("s2"), within_s=20, on_progress=lambda what, left: told.append((what, left))
        )
        assert result.is_done
        mesh.stop_envoy("s2")
        mesh.start_envoy("s2")

    answers = _while_asking(places, method, stop)

    assert set(answers) == {"200"}
    assert told, "there was nothing under way"


def _while_asking(places: Places, method: str, act: Any) -> dict[str, int]:
    """Ask what takes half a second by ten clients, and let something happen meanwhile."""
    found: dict[str, int] = {}

    def ask() -> None:
        found.update(
            ask_for(places.egress, 3, clients=10, method=method, path="/slow?0.5", body=b"x")
        )

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.8)
    act()
    thread.join()
    return found


def test_what_is_still_open_when_time_is_up_is_named(http: tuple[Running, Places]) -> None:
    mesh, places = http
    slow = threading.Thread(target=lambda: get(places.egress, "/slow?2"))
    slow.start()
    time.sleep(0.3)
    [node] = [one for one in ("s1", "s2") if _requests(mesh, one)]

    result = drain(mesh.admin(node), within_s=0.2)
    slow.join()

    assert (result.is_done, result.left) == (False, {"inbound/svc": 1})


def _requests(mesh: Running, node: str) -> int:
    return sum(mesh.admin(node).gauges(r"^http\.inbound.*downstream_rq_active$").values())


# TCP.


def test_tcp_connections_go_to_the_host_that_is_there(tmp_path: Path) -> None:
    places = Places(_NETWORK, protocol="TCP")
    with Running(tmp_path, places.specs()) as mesh:
        for number, place in enumerate(places.applications, start=1):
            mesh.start_application("tcp", place, f"app{number}")
        mesh.stop_envoy("s2", signal.SIGKILL)

        found = connect_for(places.egress, 1.5, clients=20)

    assert set(found) == {"app1"}
    assert found.total() > 100


def test_a_drained_envoy_waits_for_tcp_connections(tmp_path: Path) -> None:
    places = Places(_NETWORK, hosts=1, protocol="TCP")
    with Running(tmp_path, places.specs()) as mesh:
        mesh.start_application("tcp", places.applications[0], "app1")
        with socket.create_connection(places.egress) as stream:
            stream.sendall(b"hello\n")
            assert stream.recv(100) == b"app1\n"

            while_open = drain(mesh.admin("s1"), within_s=0.3)
            stream.sendall(b"still there?\n")
            answer = stream.recv(100)
        afterwards = drain(mesh.admin("s1"), within_s=10)

    assert while_open.left == {"inbound/svc": 1}
    assert answer == b"app1\n"
    assert afterwards.is_done
