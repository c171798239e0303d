"""Requests of HTTP/2 and calls of gRPC; one at a time over a connection."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events

from tests.campaigns.outages.requests import BIG, PIECE, TEXT_SIZE, Broken, Connected, Load, Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LIVES_S = 1.5
"""How long a stream of gRPC lasts, with a message every 0.3 s."""
_BETWEEN_S = 0.3
_REQUESTS = {
    "get": ("GET", "/", 0),
    "post": ("POST", "/", 20),
    "upload": ("POST", "/", BIG),
    "unary": ("POST", "/t/Unary", 0),
    "stream": ("POST", "/t/Stream", 0),
}
"""Kind of request → method, path and size of its body, other than messages of gRPC."""
_SETTLES_S = 0.001
_HEAD = 9
_GOAWAY = 7


class Http2(Connected):
    """A client of HTTP/2 with prior knowledge."""

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self._peer = h2.connection.H2Connection()
        self._rest = b""
        self._left = 0
        self._is_ending = False

    async def _settle(self) -> None:
        """Take what has come since the last answer: an end, or the wish for one."""
        if self.is_open:
            with contextlib.suppress(TimeoutError):
                data = await asyncio.wait_for(self.reader.read(PIECE), _SETTLES_S)
                self._peer.receive_data(self._without_goaway(data))
                self._flush()
                if not data or self._is_ending:
                    self.close()

    async def ask(self, record: Record) -> None:
        await self._settle()
        await self.open(record)
        if record.is_first:
            self._peer = h2.connection.H2Connection(h2.config.H2Configuration())
            self._peer.initiate_connection()
            self._is_ending = False
            self._rest = b""
        kind = self.load.kind.partition(" ")[2]
        stream = self._send(kind, record.id)
        end = time.monotonic() + _LIVES_S
        self._upload(stream)
        async for headers, data in self._answers(stream):
            _read(headers, record)
            if data and record.error:
                record.error = data.decode()[:TEXT_SIZE]
            if data and kind == "stream":
                record.app = data[5:].decode()
                await self._say_more(stream, record, is_last=time.monotonic() > end)
        if self._is_ending or not self.load.is_kept:
            self.close()

    async def _say_more(self, stream: int, record: Record, *, is_last: bool) -> None:
        if is_last:
            self._peer.end_stream(stream)
        else:
            await asyncio.sleep(_BETWEEN_S)
            self._peer.send_data(stream, _message(record.id))
        self._flush()

    def _send(self, kind: str, name: str) -> int:
        stream = self._peer.get_next_available_stream_id()
        method, path, self._left = _REQUESTS[kind]
        headers = [(":method", method), (":path", path)]
        headers += [(":scheme", "http"), (":authority", "mesh"), ("x-id", name)]
        is_call = path.startswith("/t/")
        if is_call:
            headers += [("te", "trailers"), ("content-type", "application/grpc")]
        self._peer.send_headers(stream, headers, end_stream=method == "GET")
        if is_call:
            self._peer.send_data(stream, _message(name), end_stream=kind != "stream")
        self._flush()
        return stream

    def _upload(self, stream: int) -> None:
        """Send as much of a body as the other side takes at present."""
        while self._left:
            window = self._peer.local_flow_control_window(stream)
            size = min(self._left, window, self._peer.max_outbound_frame_size)
            if not size:
                break
            self._left -= size
            self._peer.send_data(stream, b"x" * size, end_stream=not self._left)
        self._flush()

    def _flush(self) -> None:
        self.writer.write(self._peer.data_to_send())

    async def _answers(self, stream: int) -> AsyncIterator[tuple[dict[str, str], bytes]]:
        """Yield headers, trailers and pieces of data until the stream ends."""
        while True:
            data = await self.reader.read(PIECE)
            if not data:
                raise Broken("the connection was closed")
            for event in self._peer.receive_data(self._without_goaway(data)):
                if isinstance(event, h2.events.StreamEnded):
                    self._flush()
                    return
                found = self._found_in(event)
                if found is not None:
                    yield found
            self._upload(stream)

    def _found_in(self, event: h2.events.Event) -> tuple[dict[str, str], bytes] | None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                return {name.decode(): value.decode() for name, value in event.headers}, b""
            case h2.events.DataReceived():
                length = event.flow_controlled_length
                self._peer.acknowledge_received_data(length, event.stream_id)
                return {}, event.data
            case h2.events.StreamReset():
                code = h2.errors.ErrorCodes(event.error_code).name
                raise Broken(f"the stream was reset: {code}")
        return None

    def _without_goaway(self, data: bytes) -> bytes:
        """Return the whole frames that have come, but for those that announce an end.

        After such a frame h2 takes no other, and what is under way would be lost.
        """
        data = self._rest + data
        kept, place = [], 0
        while len(data) - place >= _HEAD:
            size = _HEAD + int.from_bytes(data[place : place + 3], "big")
            if len(data) - place < size:
                break
            if data[place + 3] == _GOAWAY:
                self._is_ending = True
            else:
                kept.append(data[place : place + size])
            place += size
        self._rest = data[place:]
        return b"".join(kept)


def _message(text: str) -> bytes:
    return b"\0" + len(text).to_bytes(4, "big") + text.encode()


def _read(headers: dict[str, str], record: Record) -> None:
    """Take over what headers or trailers say about the answer."""
    record.status = headers.get("grpc-status", headers.get(":status", record.status))
    record.app = headers.get("x-app", record.app)
    message = headers.get("grpc-message", "")
    if headers.get("grpc-status", "0") != "0":
        if is_application(message):  # it refuses by itself, and says its name
            record.app = message
        else:
            record.error = message[:TEXT_SIZE] or f"grpc-status {record.status}"
    elif "grpc-status" in headers:
        record.app = record.app or "some application"
    elif headers.get(":status") not in {None, "200"} and not record.app:
        record.error = f"status {record.status}"


def is_application(text: str) -> bool:
    """Whether a text is the name of one: app1 and so on."""
    return text.startswith("app") and text[3:].isdigit()
