"""HTTP/2 made by hand: frames that no library would send, or not so often."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING

import hpack

from tests.delivery.xds.streams import message_class

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

SECONDS = 10.0
HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"
"""The beginning of a handshake of TLS: it says that it has 512 bytes, and brings nine of them."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = (
    0,
    1,
    2,
    3,
    4,
    6,
    7,
    8,
    9,
)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
_HEAD, _MOST = 9, 16_384
_ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def headers(
    stream: int, *more: tuple[str, str], flags: int = END_HEADERS, without: str = ""
) -> bytes:
    """The head of a request for everything; no header is indexed, so none is remembered."""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", _ADS),
        (":authority", "server"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    )
    data = b"".join(_literal(*one) for one in fields if one[0] != without)
    return frame(HEADERS, flags, stream, data)


def _literal(name: str, value: str) -> bytes:
    return b"\0" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    size = len(text)
    if size < 127:
        return bytes((size,)) + text.encode()
    head, size = bytearray(b"\x7f"), size - 127
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    head.append(size)
    return bytes(head) + text.encode()


def message(stream: int, body: bytes, *, is_compressed: bool = False) -> bytes:
    """A message, in frames of the size that everybody accepts."""
    data = struct.pack(">?I", is_compressed, len(body)) + body
    parts = (data[at : at + _MOST] for at in range(0, len(data), _MOST))
    return b"".join(frame(DATA, 0, stream, part) for part in parts)


def request(type_url: str, node: str = "", **fields: object) -> bytes:
    """The body of a request."""
    made = message_class("DiscoveryRequest")(type_url=type_url, **fields)
    made.node.id = node
    return bytes(made.SerializeToString())


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = hpack.Decoder()

    async def send(self, *frames: bytes) -> bool:
        """Send; False where the server has closed the connection."""
        try:
            self._writer.write(b"".join(frames))
            await self._writer.drain()
        except ConnectionError:
            return False
        return True

    async def begin(self, settings: Mapping[int, int] | None = None) -> None:
        """Say hello, with large windows."""
        given = {4: 2**31 - 1} | dict(settings or {})
        body = b"".join(struct.pack(">HI", *one) for one in given.items())
        await self.send(PREFACE, frame(SETTINGS, payload=body))

    async def frame(self) -> tuple[int, int, int, bytes] | None:
        """The next frame: kind, flags, stream, payload; None where the connection has ended."""
        try:
            head = await asyncio.wait_for(self._reader.readexactly(_HEAD), SECONDS)
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            payload = await asyncio.wait_for(self._reader.readexactly(size), SECONDS)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return kind, flags, int.from_bytes(head[5:], "big"), payload

    async def until(self, kind: int, flags: int = 0, count: int = 1) -> bool:
        """Read until so many frames of a kind have come; False where the connection ends before."""
        while count:
            found = await self.frame()
            if found is None:
                return False
            count -= found[0] == kind and found[1] & flags == flags
        return True

    async def ending(self) -> dict[str, str]:
        """Read until a stream ends; returns its last headers."""
        while (found := await self.frame()) is not None:
            kind, flags, _, payload = found
            if kind == HEADERS:
                said = {str(name): str(value) for name, value in self._decoder.decode(payload)}
                if flags & END_STREAM:
                    return said
        return {}

    async def is_ended(self) -> bool:
        """Whether the server ends the connection within the time of a test."""
        with contextlib.suppress(TimeoutError):
            while await asyncio.wait_for(self.frame(), SECONDS) is not None:
                pass
            return True
        return False


@contextlib.asynccontextmanager
async def raw(port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
    """Connect."""
    name = None if context is None else "localhost"
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), SECONDS)
