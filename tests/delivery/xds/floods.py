"""Frames that a hostile client sends without end: each kind in its place, by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.delivery.xds.protocol.types import CLUSTER
from tests.delivery.xds import raw as wire

if TYPE_CHECKING:
    from collections.abc import Callable


def opened() -> bytes:
    """A stream that asks for clusters, as everybody's does."""
    return wire.headers(1) + wire.message(1, wire.request(CLUSTER, "front1"))


def _resets(number: int) -> bytes:
    stream = 2 * number + 3
    return wire.headers(stream) + wire.frame(wire.RESET, 0, stream, b"\0\0\0\x08")


FLOODS: dict[str, Callable[[int], bytes]] = {
    "streams that are reset at once": _resets,
    "pings": lambda _: wire.frame(wire.PING, 0, 0, b"12345678"),
    "answers to pings": lambda _: wire.frame(wire.PING, wire.ACK, 0, b"12345678"),
    "settings": lambda _: wire.frame(wire.SETTINGS),
    "acknowledged settings": lambda _: wire.frame(wire.SETTINGS, wire.ACK),
    "windows": lambda _: wire.frame(wire.WINDOW, 0, 0, b"\0\0\0\x01"),
    "windows of a stream": lambda _: wire.frame(wire.WINDOW, 0, 1, b"\0\0\0\x01"),
    "data without data": lambda _: wire.frame(wire.DATA, 0, 1),
    "priorities": lambda number: wire.frame(wire.PRIORITY, 0, 2 * number + 1, b"\0\0\0\0\x10"),
    "frames that nobody knows": lambda _: wire.frame(0x7F),
    "headers without end": lambda number: (
        wire.headers(3, flags=0)
        if not number
        else wire.frame(wire.CONTINUATION, 0, 3, b"\0\x01a\x01b")
    ),
    "requests that are none": lambda _: wire.message(1, b""),
}
