"""Clients that do not read what they are sent, and how they go or do not go: nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.protocol.types import ENDPOINT
from meshc.delivery.xds.transport.limits import Limits
from tests.delivery.xds import raw as wire
from tests.delivery.xds.conformance.stage import Stage, play_within
from tests.delivery.xds.served import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LARGE = 12_000_000
"""More than the buffers of both kernels hold."""
_WINDOW = 2**31 - 1 - 65_535
_SHORT = Limits(ping_every=0.5, ping_answer=0.5)


@contextlib.contextmanager
def _deaf(port: int) -> Iterator[socket.socket]:
    """A client with endless windows that asks for something large and never reads."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", port))
        body = wire.request(ENDPOINT, "n", resource_names=["a"])
        peer.sendall(
            wire.PREFACE
            + wire.frame(wire.SETTINGS, payload=struct.pack(">HI", 4, 2**31 - 1))
            + wire.frame(wire.WINDOW, payload=struct.pack(">I", _WINDOW))
            + wire.headers(1)
            + wire.message(1, body)
        )
        peer.setblocking(False)  # noqa: FBT003, its signature
        yield peer


def _says_goodbye(peer: socket.socket) -> None:
    peer.send(wire.frame(wire.GOAWAY, payload=bytes(8)))


def _ends_its_half(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_WR)


def _says_nothing(peer: socket.socket) -> None:
    del peer


def _breaks_a_rule(peer: socket.socket) -> None:
    peer.send(wire.frame(wire.DATA, 0, 0, b"no stream"))


def _resets(peer: socket.socket) -> None:
    peer.send(wire.frame(wire.RESET, 0, 1, bytes(4)))


def _serving() -> int:
    """How many streams are served, or wait to be let go."""
    return sum("request_handler" in repr(one.get_coro()) for one in asyncio.all_tasks())


@pytest.mark.parametrize(
    "leaves", [_says_goodbye, _ends_its_half, _says_nothing, _breaks_a_rule, _resets]
)
def test_a_client_that_does_not_read_is_let_go_however_it_leaves(
    leaves: Callable[[socket.socket], None],
) -> None:
    async def scene(stage: Stage) -> None:
        with _deaf(stage.port) as peer:
            await until(lambda: len(stage.hub) == 1)
            leaves(peer)
            await until(lambda: not stage.server.connections.open)
            await until(lambda: not _serving())
            assert len(stage.hub) == 0

    play_within(_SHORT, scene, endpoints=f"a{_LARGE * '1'}")


def test_a_connection_without_a_stream_is_asked_to_come_again() -> None:
    async def scene(stage: Stage) -> None:
        async with wire.raw(stage.port) as idle, wire.raw(stage.port) as busy:
            for peer in (idle, busy):
                await peer.begin()
                body = wire.request(ENDPOINT, "n", resource_names=["a"])
                await peer.send(wire.headers(1), wire.message(1, body))
                assert await peer.until(wire.DATA)
            await idle.send(wire.frame(wire.RESET, 0, 1, bytes(4)))
            assert await idle.until(wire.GOAWAY)
            assert await idle.is_ended()
            assert len(stage.hub) == 1

    play_within(Limits(first_request=0.2, idle=0.2, age_grace=0.2), scene, endpoints="a")


def test_others_are_cut_while_a_connection_is_about_to_close() -> None:
    async def scene(stage: Stage) -> None:
        async with wire.raw(stage.port) as one, wire.raw(stage.port) as other:
            await until(lambda: len(stage.server.connections.open) == 2)
            next(iter(stage.server.connections.open)).end("it is over")

            assert stage.server.connections.close_where(lambda _peer: True) == 1

            assert await one.is_ended()
            assert await other.is_ended()

    play_within(Limits(), scene)


def test_answers_to_pings_that_were_never_read_keep_nobody() -> None:
    async def scene(stage: Stage) -> None:
        with _deaf(stage.port) as peer:
            await until(lambda: len(stage.hub) == 1)
            for _ in range(100):
                with contextlib.suppress(OSError):
                    peer.send(wire.frame(wire.PING, wire.ACK, 0, b"12345678"))
                if not stage.server.connections.open:
                    break
                await asyncio.sleep(0.05)
            assert not stage.server.connections.open

    play_within(_SHORT, scene, endpoints=f"a{_LARGE * '1'}")
