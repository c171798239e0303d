"""Connections that get no further than TCP or TLS: they are counted, cut, and leave nothing."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from meshc.delivery.log import Log
from meshc.delivery.xds.process.reporting import Reporter
from meshc.delivery.xds.process.status import overview
from meshc.delivery.xds.protocol.types import CLUSTER
from meshc.delivery.xds.transport.accepting import Room
from meshc.delivery.xds.transport.limits import Limits
from tests.consul.authority import Authority
from tests.delivery.xds.certificates import Certificates, certificates
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.process import serving
from tests.delivery.xds.raw import HALF_HELLO
from tests.delivery.xds.served import SECONDS, caller, served, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.delivery.xds.process import ServeProcess

_MANY = 3_000
_CUT_S = 5
"""How long a handshake may take."""


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("trust"))


def _credentials(trust: Certificates) -> Any:
    folder = trust.node_folder
    return grpc.ssl_channel_credentials(
        root_certificates=(folder / "server-ca.pem").read_bytes(),
        private_key=(folder / "node.key").read_bytes(),
        certificate_chain=(folder / "node.pem").read_bytes(),
    )


async def _answer_takes(port: int, trust: Certificates) -> float:
    """How long somebody who connects waits for an answer, in seconds."""
    began = time.monotonic()
    async with caller(port, _credentials(trust), {"grpc.use_local_subchannel_pool": 1}) as client:
        call = client.stream("front1")
        await call.ask(CLUSTER)
        assert (await call.answer()).resources
        call.cancel()
    return time.monotonic() - began


def _connected(port: int, number: int) -> socket.socket:
    """Connect from one of four addresses, and leave it at that or half a hello."""
    source = f"127.0.0.{2 + number % 4}"
    peer = socket.create_connection(
        ("127.0.0.1", port), source_address=(source, 0), timeout=SECONDS
    )
    if number % 2:
        peer.sendall(HALF_HELLO)
    peer.setblocking(False)  # noqa: FBT003, its signature
    return peer


def _is_cut(peer: socket.socket) -> bool:
    try:
        return peer.recv(1024) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def _descriptors(server: ServeProcess) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


@contextlib.contextmanager
def _crowd(port: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_connected(port, number)) for number in range(_MANY)]


def test_thousands_that_only_connect_are_cut_and_leave_nothing(
    tmp_path: Path, trust: Certificates
) -> None:
    make_bundle(tmp_path)
    with serving(tmp_path, tls=trust.tls) as server:
        asyncio.run(_answer_takes(server.port, trust))
        descriptors, memory = _descriptors(server), server.resident_mib()
        began = time.monotonic()
        with _crowd(server.port) as peers:
            waited = [asyncio.run(_answer_takes(server.port, trust)) for _ in range(5)]
            assert _descriptors(server) > descriptors + _MANY / 2
            limit = time.monotonic() + _CUT_S + SECONDS
            left = peers
            while left and time.monotonic() < limit:
                left = [one for one in left if not _is_cut(one)]
                time.sleep(0.1)
            assert not left
            assert time.monotonic() - began >= _CUT_S - 1, "that is what a slow client has"
            assert max(waited) < SECONDS / 2
        asyncio.run(_answer_takes(server.port, trust))
        asyncio.run(_all_closed(server, descriptors + 5))
        assert server.resident_mib() < memory + 64
        assert len((tmp_path / "log").read_text().splitlines()) < 30


async def _all_closed(server: ServeProcess, most: int) -> None:
    await until(lambda: _descriptors(server) <= most)


def test_handshakes_take_the_room_of_their_address_and_of_no_other(
    tmp_path: Path, trust: Certificates
) -> None:
    async def run() -> None:
        limits = Limits(connections_of_one=20)
        async with served(make_bundle(tmp_path), tls=trust.tls, limits=limits) as server:
            room = server.serving.server.connections.room
            with contextlib.ExitStack() as stack:
                peers = []
                for _ in range(30):
                    one = stack.enter_context(socket.socket())
                    one.bind(("127.0.0.9", 0))
                    one.connect(("127.0.0.1", server.port))
                    one.setblocking(False)  # noqa: FBT003, its signature
                    peers.append(one)
                await until(lambda: sum(map(_is_cut, peers)) == 10)
                assert (room.taken, room.refused) == (20, 10)
                assert await _answer_takes(server.port, trust) < SECONDS
            await until(lambda: room.taken == 0)

    asyncio.run(run())


def test_why_a_handshake_failed_is_said_once_for_each_address(
    tmp_path: Path, trust: Certificates
) -> None:
    stranger = Authority(tmp_path / "other", "other").issue("front1", "DNS:front1")
    old = trust.nodes.issue_until(time.time() - 60, "old", "DNS:front1")
    roots = (trust.node_folder / "server-ca.pem").read_bytes()
    said = io.StringIO()

    async def run() -> None:
        async with served(make_bundle(tmp_path), tls=trust.tls) as server:
            reporter = Reporter(server.serving, Log(said, is_json=True))
            for _ in range(2):
                for shown in (stranger, old, None):
                    pair = (shown.key.read_bytes(), shown.file.read_bytes()) if shown else ()
                    async with caller(
                        server.port, grpc.ssl_channel_credentials(roots, *pair)
                    ) as client:
                        call = client.stream("front1")
                        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                            await call.ask(CLUSTER)
                        await call.status()
                reporter.look()
            assert overview(server.serving)["handshake_failures"] >= 6

    asyncio.run(run())
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert {line["event"] for line in lines} == {"handshake"}
    assert [line["reason"] for line in lines] == [
        "certificate verify failed: unable to get local issuer certificate",
        "certificate verify failed: certificate has expired",
        "peer did not return a certificate",
    ]
    assert all(line["address"].startswith("127.0.0.1:") for line in lines)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\0" * 999])
def test_what_is_no_handshake_is_cut_at_once_and_said_to_nobody(
    tmp_path: Path, trust: Certificates, said: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async def run() -> None:
        async with served(make_bundle(tmp_path), tls=trust.tls) as server:
            for _ in range(50):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(said)
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), SECONDS)
                writer.close()
            await until(lambda: server.serving.server.connections.room.taken == 0)
            assert await _answer_takes(server.port, trust) < SECONDS

    asyncio.run(run())
    assert "Traceback" not in capfd.readouterr().err


def test_networks_of_ipv6_are_one_peer_and_unix_sockets_none() -> None:
    room = Room(Limits(connections_of_one=1))
    assert room.take(("2001:db8::1", 1, 0, 0)) is not None
    assert room.take(("2001:db8::ffff:1", 2, 0, 0)) is None
    assert room.take(("2001:db8:0:1::1", 1, 0, 0)) is not None
    assert room.take(("fe80::1%eth0", 1, 0, 2)) is not None
    assert room.take(("::ffff:10.0.0.1", 1, 0, 0)) is not None
    assert room.take(("10.0.0.1", 1)) is None
    assert all(room.take("") is not None for _ in range(3))
    assert (room.taken, room.refused) == (7, 2)


def test_a_place_is_given_back_once() -> None:
    async def run() -> Room:
        room = Room(Limits())
        places = [room.take(("10.0.0.1", 1)) for _ in range(2)]
        for place in (places[0], places[0]):
            assert place is not None
            place.leave()
        return room

    assert asyncio.run(run()).taken == 1
