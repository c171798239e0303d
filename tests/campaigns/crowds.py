"""Thousands of connections that cost their owner nothing: they say little, and read nothing."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
from typing import TYPE_CHECKING

from meshc.delivery.xds.protocol.types import CLUSTER
from tests.delivery.xds import raw as wire

if TYPE_CHECKING:
    from collections.abc import Mapping

SILENT, HALF, DEAF = "thousands say nothing", "thousands shake half a hand", "a thousand are deaf"
MANY: Mapping[str, int] = {SILENT: 10_000, HALF: 10_000, DEAF: 1_000}
"""Connections at once."""
OF_TLS = frozenset({SILENT, HALF})
_OF_ONE = 1_000
"""From one address, of which a server takes 2,000."""
_PAUSE_S = 0.05
_AT_ONCE = 200
_CONNECT_S = 10.0


def _begin(kind: str) -> bytes:
    if kind == HALF:
        return wire.HALF_HELLO
    if kind == DEAF:
        request = wire.message(1, wire.request(CLUSTER, "front1"))
        return wire.PREFACE + wire.frame(wire.SETTINGS) + wire.headers(1) + request
    return b""


def crowd(kind: str, port: int, count: int) -> None:
    """Hold so many connections, and replace those that are cut, until this process is killed."""
    begin, events = _begin(kind), select.epoll()
    held: dict[int, socket.socket] = {}
    for number in itertools.count():
        if len(held) < count:
            with contextlib.suppress(OSError):
                peer = _connected(port, f"127.0.1.{1 + number % count // _OF_ONE}", begin)
                held[peer.fileno()] = peer
                events.register(peer, select.EPOLLRDHUP)
        if len(held) == count or number % _AT_ONCE == 0:
            for descriptor, _ in events.poll(_PAUSE_S):
                held.pop(descriptor).close()


def _connected(port: int, source: str, begin: bytes) -> socket.socket:
    peer = socket.create_connection(
        ("127.0.0.1", port), source_address=(source, 0), timeout=_CONNECT_S
    )
    peer.sendall(begin)
    return peer
