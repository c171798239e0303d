"""Hostile clients at the ports of HTTP: polls, and the status of the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from meshc.delivery.xds.process import control
from meshc.delivery.xds.process.control import ServerPages, serve_control
from meshc.delivery.xds.transport.accepting import close
from meshc.delivery.xds.transport.addresses import address
from meshc.delivery.xds.transport.identity import CertificateGate
from meshc.delivery.xds.transport.limits import Limits
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.raw import raw
from tests.delivery.xds.served import SECONDS, Server, free_port, polled, served, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from meshc.delivery.xds.transport.addresses import Address

_BODY = json.dumps({"node": {"id": "front1"}}).encode()
_HEAD = b"POST /v3/discovery:clusters HTTP/1.1\r\ncontent-length: %d\r\n\r\n"
_LARGE = 20_000_000
"""More than the buffers of both kernels hold."""
_POLL = _HEAD % len(_BODY) + _BODY


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("mesh"))


def _play(
    bundle: Path, scene: Callable[[Server, int], Awaitable[None]], limits: Limits | None = None
) -> None:
    """Run a scene with the port of polls; the event loop must have nothing to complain of."""
    port = free_port()
    told: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, what: told.append(what))
        async with served(bundle, rest=address(f"127.0.0.1:{port}"), limits=limits) as server:
            await scene(server, port)

    asyncio.run(run())
    assert told == []


async def _said(port: int, data: bytes, slowly: bytes = b"") -> bytes:
    """What comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    came = bytearray()

    async def read() -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                came.extend(data)

    reading = asyncio.create_task(read())
    writer.write(data)
    for number in range(len(slowly)):
        writer.write(slowly[number : number + 1])
        await asyncio.wait({reading}, timeout=0.05)
        if reading.done():
            break
    await asyncio.wait_for(reading, SECONDS)
    writer.close()
    return bytes(came)


async def _is_served(port: int) -> bool:
    path, body = "/v3/discovery:clusters", {"node": {"id": "front1"}}
    status, _ = await asyncio.to_thread(polled, port, path, body)
    return status == 200


@pytest.mark.parametrize(
    ("data", "slowly"),
    [
        (b"", b""),
        (b"", _POLL),
        (b"POST /v3/discovery:clusters HTTP/1.1\r\n", b"a: b\r\n" * 50),
        (_HEAD % 1000, b"x" * 200),
        (_POLL, b""),
        (_POLL, b"POST / HTTP/1.1\r\na: b" + b"x" * 200),
    ],
    ids=["nothing", "a byte now and then", "headers", "body", "no second", "a second"],
)
def test_who_does_not_ask_in_time_is_cut_and_others_are_served(
    bundle: Path, data: bytes, slowly: bytes
) -> None:
    async def scene(_server: Server, port: int) -> None:
        attacks = [asyncio.create_task(_said(port, data, slowly)) for _ in range(50)]
        await asyncio.sleep(0.1)
        assert await _is_served(port)
        ends = await asyncio.gather(*attacks)
        assert all(one.count(b"HTTP/1.1 200") == (data == _POLL) for one in ends)

    _play(bundle, scene, Limits(first_request=0.5, idle=0.5))


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nx: " + b"x" * 30_000 + b"\r\n\r\n",
        b"POST /" + b"x" * 30_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: \xb2\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"\r\n\r\n",
        _HEAD % 5 + b"[1e99",
        _HEAD % 200_000 + b"[" * 200_000,
        _HEAD % 100_000 + b"9" * 100_000,
    ],
)
def test_requests_that_are_none_are_refused_and_no_mistake_of_the_server(
    bundle: Path, data: bytes
) -> None:
    async def scene(_server: Server, port: int) -> None:
        said = await _said(port, data)
        assert not said or said.startswith(b"HTTP/1.1 4")
        assert await _is_served(port)

    _play(bundle, scene)


def test_polls_without_pause_wait_for_their_turn(bundle: Path) -> None:
    async def scene(_server: Server, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_POLL * 200)
        came = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while True:
                    came += await reader.read(65_536)
        assert await _is_served(port)
        writer.close()
        assert 10 <= came.count(b"HTTP/1.1 200") < 100

    _play(bundle, scene, Limits(requests_a_second=5))


def test_polls_and_streams_share_the_room_for_connections(bundle: Path) -> None:
    async def scene(server: Server, port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        async with raw(server.port) as late:
            await late.begin()
            assert await late.is_ended()
        for _, writer in held:
            writer.close()
        await until(lambda: server.serving.server.connections.room.taken == 0)
        assert await _is_served(port)

    _play(bundle, scene, Limits(connections=3))


def _read(peer: socket.socket) -> int:
    """How much comes until the end."""
    return sum(map(len, iter(lambda: peer.recv(2**20), b"")))


def test_a_connection_is_closed_also_where_nobody_reads_what_was_written() -> None:
    async def run() -> None:
        is_closed = asyncio.Event()

        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(bytes(_LARGE))
            await close(writer, 0.2)
            is_closed.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as peer:
            await asyncio.wait_for(is_closed.wait(), SECONDS)
            peer.settimeout(SECONDS)
            assert await asyncio.to_thread(_read, peer) < _LARGE
        server.close()

    asyncio.run(run())


def test_certificates_that_have_come_to_their_end_ask_for_nothing() -> None:
    class Peer:
        def __init__(self, end: str) -> None:
            self._end = end

        def cert(self) -> dict[str, Any]:
            return {"subjectAltName": (("DNS", "web1"),), "notAfter": self._end}

    gate = CertificateGate("shop")
    gate.check(Peer("Dec 31 23:59:59 9999 GMT"), "web1")
    with pytest.raises(GRPCError) as refused:
        gate.check(Peer("Jan  1 00:00:00 2020 GMT"), "web1")
    assert refused.value.status is Status.PERMISSION_DENIED


@pytest.mark.parametrize("slowly", [b"", b"GET /status HTTP/1.1\r\n" + b"a: b\r\n" * 50])
def test_whoever_asks_slowly_how_the_server_is_holds_up_nobody_for_long(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, slowly: bytes
) -> None:
    monkeypatch.setattr(control, "LIMIT_S", 0.5)
    where = address(f"127.0.0.1:{free_port()}")

    async def scene(server: Server, _port: int) -> None:
        asked = await serve_control(ServerPages(server.serving), where)
        assert where.port is not None
        attacks = [asyncio.create_task(_said(where.port, b"", slowly)) for _ in range(200)]
        await asyncio.gather(*attacks)
        assert b"200 OK" in await _said(where.port, b"GET /status HTTP/1.1\r\n\r\n")
        asked.close()

    _play(bundle, scene)


def test_only_so_many_ask_at_once_how_the_server_is(bundle: Path, tmp_path: Path) -> None:
    where: Address = address(f"unix:{tmp_path}/c")

    async def scene(server: Server, _port: int) -> None:
        asked = await serve_control(ServerPages(server.serving), where)
        held = [await asyncio.open_unix_connection(where.host) for _ in range(32)]
        reader, writer = await asyncio.open_unix_connection(where.host)
        assert await asyncio.wait_for(reader.read(), 1) == b""
        for _, one in (*held, (reader, writer)):
            one.close()
        asked.close()

    _play(bundle, scene)
