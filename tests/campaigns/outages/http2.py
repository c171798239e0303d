"""Requests of HTTP/2 and calls of gRPC; one at a time over a connection."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events

from tests.campaigns.outages.requests import PIECE, TEXT_SIZE, Broken, Connected, Load, Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LIVES_S = 1.5
"""How long a stream of gRPC lasts, with a message every 0.3 s."""
_BETWEEN_S = 0.3


class Http2(Connected):
    """A client of HTTP/2 with prior knowledge."""

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self._peer = h2.connection.H2Connection()
        self._is_ending = False

    async def ask(self, record: Record) -> None:
        await self.open(record)
        if record.is_first:
            self._peer = h2.connection.H2Connection(h2.config.H2Configuration())
            self._peer.initiate_connection()
            self._is_ending = False
        kind = self.load.kind.partition(" ")[2]
        stream = self._send(kind, record.id, is_last=kind != "stream")
        end = time.monotonic() + _LIVES_S
        async for headers, data in self._answers():
            _read(headers, record)
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

    def _send(self, kind: str, name: str, *, is_last: bool) -> int:
        stream = self._peer.get_next_available_stream_id()
        is_call = kind != "get"
        path = {"get": "/", "stream": "/t/Stream", "unary": "/t/Unary"}[kind]
        headers = [(":method", "POST" if is_call else "GET"), (":path", path)]
        headers += [(":scheme", "http"), (":authority", "mesh"), ("x-id", name)]
        if is_call:
            headers += [("te", "trailers"), ("content-type", "application/grpc")]
        self._peer.send_headers(stream, headers, end_stream=not is_call)
        if is_call:
            self._peer.send_data(stream, _message(name), end_stream=is_last)
        self._flush()
        return stream

    def _flush(self) -> None:
        self.writer.write(self._peer.data_to_send())

    async def _answers(self) -> AsyncIterator[tuple[dict[str, str], bytes]]:
        """Yield headers, trailers and pieces of data until the stream ends."""
        while True:
            data = await self.reader.read(PIECE)
            if not data:
                raise Broken("the connection was closed")
            for event in self._peer.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    self._flush()
                    return
                found = self._found_in(event)
                if found is not None:
                    yield found
            self._flush()

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
            case h2.events.ConnectionTerminated():
                self._is_ending = True
        return None


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
