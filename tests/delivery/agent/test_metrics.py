"""Metrics: their format, read by a strict parser, and the server that gives them out."""

from __future__ import annotations

import math
import socket
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent import metrics
from meshc.delivery.agent.admin import AdminAddress
from meshc.delivery.agent.metrics import Metrics, MetricsServer
from meshc.delivery.errors import DeliveryError
from tests.delivery.exposition import parsed
from tests.delivery.live import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOST = "127.0.44.3"
STATES = ("ok", "failing")
_GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def test_everything_is_in_the_format() -> None:
    kinds, samples = parsed(Metrics(node="n1", state="ok").render(STATES))

    assert {name for name, kind in kinds.items() if kind == "counter"} == {
        "meshc_agent_deliveries_total",
        "meshc_agent_source_errors_total",
        "meshc_agent_envoy_restarts_total",
        "meshc_agent_nudges_total",
        "meshc_agent_endpoint_changes_total",
    }
    assert all(name.startswith("meshc_agent_") for name in kinds)
    assert samples["meshc_agent_state", 'state="ok"'] == 1
    assert samples["meshc_agent_state", 'state="failing"'] == 0


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", 'x",y="z', "é", "\udcff", "}"])
def test_no_name_breaks_the_format(name: str) -> None:
    counted = Metrics(node=name, desired=name, delivered=name)

    _, samples = parsed(counted.render(STATES))

    assert len([key for key in samples if key[0] == "meshc_agent_generation_info"]) == 1


def test_deliveries_fall_into_the_buckets_of_their_time() -> None:
    counted = Metrics(node="n1")
    for seconds in (0.004, 0.005, 0.3, 5000.0):
        counted.observe(seconds)

    _, samples = parsed(counted.render(STATES))

    name = "meshc_agent_delivery_seconds"
    buckets = {
        float(labels[4:-1]): value
        for (one, labels), value in samples.items()
        if one == f"{name}_bucket"
    }
    assert (buckets[0.005], buckets[0.25], buckets[0.5], buckets[600.0]) == (2, 2, 3, 3)
    assert buckets[math.inf] == samples[f"{name}_count", ""] == 4
    assert samples[f"{name}_sum", ""] == pytest.approx(5000.309)
    assert list(buckets.values()) == sorted(buckets.values())


@pytest.fixture(params=["socket", "port"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> AdminAddress:
    if request.param == "socket":
        return AdminAddress(str(tmp_path / "metrics.sock"))
    return AdminAddress(HOST, free_ports(HOST, 1)[0])


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_REQUEST_LIMIT_S", 0.2)


@pytest.fixture
def ask(address: AdminAddress) -> Iterator[Callable[[bytes], bytes]]:
    server = MetricsServer(address, lambda: "up 1\n")

    def ask(request: bytes) -> bytes:
        with connected(address) as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            return received(client)

    yield ask
    server.close()


def connected(address: AdminAddress) -> socket.socket:
    client = socket.socket(socket.AF_UNIX if address.is_pipe else socket.AF_INET)
    client.settimeout(30)
    try:
        client.connect(address.host if address.is_pipe else (address.host, address.port))
    except OSError:
        client.close()
        raise
    return client


def received(client: socket.socket) -> bytes:
    answer = b""
    try:
        while piece := client.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass  # it has answered without reading all that was said
    return answer


def test_metrics_are_given_out(ask: Callable[[bytes], bytes]) -> None:
    head, _, body = ask(_GET).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
    assert b"Content-Length: 5" in head
    assert body == b"up 1\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics?name=x HTTP/1.1\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"DELETE / HTTP/1.1\r\n\r\n", b"405"),
        (b"\r\n\r\n", b"405"),
        (b"\0\xff\x16\x03\x01\r\n\r\n", b"405"),
        (b"", b"405"),
        (b"GET", b"404"),
        (b"x" * 500_000, b"405"),
        (b"GET /" + b"x" * 500_000, b"404"),
    ],
)
def test_any_request_has_an_answer_and_the_next_one_too(
    ask: Callable[[bytes], bytes], request_: bytes, status: bytes
) -> None:
    try:
        answer = ask(request_)
    except OSError:
        answer = b""  # cut off while it was still talking

    assert answer.split(b" ")[1:2] in ([status], [])
    assert answer or len(request_) > 8192
    assert ask(_GET).endswith(b"up 1\n")


@pytest.mark.usefixtures("short_patience")
def test_who_asks_byte_by_byte_keeps_others_waiting_for_a_short_time_only(
    address: AdminAddress, ask: Callable[[bytes], bytes]
) -> None:
    is_over = threading.Event()

    def dawdle() -> None:
        with connected(address) as client:
            while not is_over.wait(0.02):
                try:
                    client.sendall(b"x")
                except OSError:
                    return

    slow = threading.Thread(target=dawdle)
    slow.start()
    answers: list[bytes] = []
    other = threading.Thread(target=lambda: answers.append(ask(_GET)), daemon=True)
    other.start()
    other.join(20)
    is_over.set()
    slow.join()

    assert answers[0].endswith(b"up 1\n")


@pytest.mark.usefixtures("short_patience")
def test_who_does_not_read_the_answer_keeps_others_waiting_for_a_short_time_only(
    address: AdminAddress,
) -> None:
    server = MetricsServer(address, lambda: "x" * 20_000_000)
    with connected(address) as deaf:
        deaf.sendall(_GET)

        with connected(address) as other:
            other.sendall(_GET)
            answer = received(other)

    server.close()
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_who_goes_at_once_stops_nothing(
    address: AdminAddress, ask: Callable[[bytes], bytes]
) -> None:
    for _ in range(5):
        connected(address).close()

    assert ask(_GET).endswith(b"up 1\n")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "metrics.sock"


def test_the_socket_is_for_its_user_and_group_and_goes_with_the_server(place: Path) -> None:
    server = MetricsServer(AdminAddress(str(place)), lambda: "")
    mode = place.stat().st_mode

    server.close()

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660
    assert not place.exists()


def test_a_server_that_was_closed_holds_its_port_no_longer() -> None:
    address = AdminAddress(HOST, free_ports(HOST, 1)[0])

    for _ in range(5):
        MetricsServer(address, lambda: "").close()

    with pytest.raises(ConnectionRefusedError):
        connected(address)


def test_a_socket_of_one_that_was_killed_is_replaced(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(place))

    MetricsServer(AdminAddress(str(place)), lambda: "").close()

    assert not place.exists()


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_nothing_but_a_socket_is_replaced(place: Path, tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    match kind:
        case "file":
            place.write_bytes(b"mine")
        case "link":
            place.symlink_to(other)
        case _:
            place.mkdir()

    with pytest.raises(DeliveryError, match="cannot serve metrics") as caught:
        MetricsServer(AdminAddress(str(place)), lambda: "")

    assert "--metrics" in str(caught.value.hint)
    assert other.read_bytes() == b"mine"
    assert place.exists()


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server((HOST, 0)) as taken, pytest.raises(DeliveryError, match="in use"):
        MetricsServer(AdminAddress(HOST, taken.getsockname()[1]), lambda: "")
