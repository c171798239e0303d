"""Old and odd clients, WebSockets, gRPC's own, and hosts outside the mesh."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.campaigns.outages.mutants import pings_on
from tests.delivery.live import free_ports
from tests.requests.asking import exchange, get
from tests.requests.running import Places, Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.envoy

_NETWORK = "127.0.52"
_SILENCE_S = 6
"""Four times as long as a ping may take between Envoys; gRPC's servers end a connection at the
third ping in silence."""


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    places = Places(_NETWORK, hosts=1)
    folder = tmp_path_factory.mktemp("clients")
    with Running(folder, places.specs("timeouts: {webSocket: 2s}\n")) as mesh:
        mesh.start_application("http", places.applications[0], "app1")
        yield places


def test_http_1_0_is_answered_on_both_sides(http: Places) -> None:
    for address in (http.egress, http.ingresses[0]):
        answer = exchange(address, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.0 200 OK\r\n"), answer


def test_a_client_of_http_1_0_need_not_name_a_host(http: Places) -> None:
    answer = exchange(http.egress, b"GET /headers HTTP/1.0\r\n\r\n")

    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert ["host", "svc"] in body["headers"]


@pytest.mark.parametrize("offer", ["TLS/1.2", "tls/1.0, TLS/1.2", "h2c"])
def test_an_upgrade_that_a_client_offers_in_passing_is_ignored(http: Places, offer: str) -> None:
    headers = {"connection": "Upgrade", "upgrade": offer, "http2-settings": "AAMAAABkAAQAAP__"}

    assert get(http.egress, headers=headers).status == 200


def _websocket(address: tuple[str, int]) -> socket.socket:
    stream = socket.create_connection(address, 10)
    lines = ["GET /ws HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]
    stream.sendall("\r\n".join(lines).encode())
    assert stream.recv(4096).startswith(b"HTTP/1.1 101 ")
    return stream


def test_a_websocket_passes_both_hops_and_may_be_silent_as_long_as_a_spec_says(
    http: Places,
) -> None:
    with _websocket(http.egress) as stream:
        for text in (b"\x81\x85\x00\x00\x00\x00hello", b"\x81\x82\x00\x00\x00\x00yo"):
            time.sleep(0.7)
            stream.sendall(text)
            assert stream.recv(100)[2:] == text[6:]
        began = time.monotonic()
        assert stream.recv(100) == b"", "it was silent for longer than 2 s"
        assert time.monotonic() - began >= 1.9


def test_any_other_upgrade_is_refused(http: Places) -> None:
    assert get(http.egress, headers={"connection": "Upgrade", "upgrade": "foo"}).status == 403


def test_the_application_learns_who_connects_to_its_host(http: Places) -> None:
    answer = get(http.ingresses[0], "/headers", headers={"x-forwarded-for": "203.0.113.7"})

    headers = dict(json.loads(answer.text)["headers"])  # type: ignore[attr-defined]
    assert headers["x-forwarded-for"] == "203.0.113.7,127.0.0.1"


def test_large_answers_to_nobody_do_not_block_others(http: Places) -> None:
    """Both hops share few connections; what is not read must leave room for what is."""
    with socket.create_connection(http.egress, 10) as reader:
        reader.sendall(b"GET /headers HTTP/1.1\r\nHost: x\r\n\r\n")
        assert get(http.egress).status == 200


# gRPC.


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Any]]:
    places = Places("127.0.53", protocol="GRPC")
    with Running(tmp_path_factory.mktemp("grpc"), places.specs()) as mesh:
        for number, place in enumerate(places.applications, start=1):
            mesh.start_application("grpc", place, f"app{number}")
        with grpc.insecure_channel(f"{places.egress[0]}:{places.egress[1]}") as found:
            yield mesh, found


def _as_it_is(data: bytes) -> bytes:
    return data


def test_silent_streams_and_long_calls_live_as_long_as_they_want(
    channel: tuple[Running, Any],
) -> None:
    _, found = channel
    unary = found.unary_unary("/t/Unary", _as_it_is, _as_it_is)
    stream = found.stream_stream("/t/Stream", _as_it_is, _as_it_is)
    names = (b"one", f"two {_SILENCE_S}".encode())

    long = unary.future(names[1])
    answers = [bytes(one) for one in stream(iter(names))]

    assert [one[:3] for one in answers] == [b"app", b"app"]
    assert long.result()[:3] == b"app"


def test_pings_toward_its_server_would_end_a_silent_call(tmp_path: Path) -> None:
    places = Places("127.0.54", hosts=1, protocol="GRPC")
    edit = pings_on("svc")
    with Running(tmp_path, places.specs(), edit=lambda _node, one: edit(one)) as mesh:
        mesh.start_application("grpc", places.applications[0], "app1")
        with grpc.insecure_channel(f"{places.egress[0]}:{places.egress[1]}") as found:
            call = found.unary_unary("/t/Unary", _as_it_is, _as_it_is)
            with pytest.raises(grpc.RpcError) as caught:
                call(f"one {_SILENCE_S}".encode())

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_grpc_calls_go_to_the_application_that_is_there(channel: tuple[Running, Any]) -> None:
    mesh, found = channel
    unary = found.unary_unary("/t/Unary", _as_it_is, _as_it_is)
    mesh.stop_application("app2")

    answers = {unary(f"call-{number}".encode()) for number in range(40)}

    assert answers == {b"app1"}


# Hosts outside the mesh.


def test_a_server_outside_is_called_by_its_name_and_port_and_told_nothing_more(
    tmp_path: Path,
) -> None:
    (port,) = free_ports("127.0.0.1", 1)
    places = Places(_NETWORK, hosts=0)
    specs = places.specs()
    specs["svc.yaml"] = (
        "protocol: HTTP\nhosts:\n"
        f"- {{name: ext1, externalAddr: {{host: localhost, port: {port}}}}}\n"
    )
    with Running(tmp_path, specs) as mesh:
        mesh.start_application("http", ("127.0.0.1", port), "app1")
        answer = get(places.egress, "/headers", headers={"x-envoy-original-path": "/secret"})

    headers = dict(json.loads(answer.text)["headers"])  # type: ignore[attr-defined]
    assert headers["host"] == f"localhost:{port}"
    assert [name for name in headers if name.startswith("x-envoy")] == []
