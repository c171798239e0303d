"""An application as a process: HTTP/1.1 with WebSockets, HTTP/2, gRPC, or bytes over TCP.

    python application.py NAME SEEN TAKES KIND=HOST:PORT [KIND=HOST:PORT ...]

Every answer says the application's name, and takes TAKES seconds; TAKES/COUNT: as many are worked
on at a time, and the others wait for their turn.  Before it does anything with a
request it appends the request's id to the file SEEN, so that what it saw outlives a kill.

SIGTERM makes it accept nothing more, finish what is under way, and end.  SIGUSR1 makes it answer
503, SIGUSR2 take two seconds, SIGHUP end connections in place of answers; SIGWINCH ends all three.

Paths of HTTP: ``/slow?SECONDS``, ``/status?CODE``, ``/big?BYTES``, ``/headers`` (answers them),
``/close`` (ends the connection in place of an answer), ``/ws`` (a WebSocket that sends back what it
gets).
"""

from __future__ import annotations

import asyncio
import base64
import enum
import functools
import hashlib
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.exceptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import grpc

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PIECE = 1 << 16
_BACKLOG = 4096
_SLOW_S = 2.0
_ALL = 1_000_000
_SERVING = b"\x08\x01"
"""HealthCheckResponse with status SERVING."""


class Mood(enum.Enum):
    """How it treats requests; signals change that."""

    WELL = signal.SIGWINCH
    REFUSING = signal.SIGUSR1
    SLOW = signal.SIGUSR2
    RESETTING = signal.SIGHUP


@dataclass(slots=True)
class Application:
    """What all kinds share: a name, the record of what was seen, and what is under way."""

    name: str
    seen: int
    takes_s: float = 0.0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ALL))
    mood: Mood = Mood.WELL
    under_way: int = 0
    is_ending: bool = False
    idle: set[asyncio.StreamWriter] = field(default_factory=set)

    def see(self, request: str) -> None:
        """Remember a request, in one write that a kill cannot take back."""
        if request:
            os.write(self.seen, f"{request}\n".encode())

    async def take_time(self) -> None:
        """Work on a request."""
        pause = _SLOW_S if self.mood is Mood.SLOW else self.takes_s
        if pause:
            async with self.turns:
                await asyncio.sleep(pause)

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        while self.under_way:  # noqa: ASYNC110, an event for each request would cost more
            await asyncio.sleep(0.01)

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests of HTTP/1.1 until the connection ends."""
        while not self.is_ending:
            self.idle.add(writer)
            head = await reader.readuntil(b"\r\n\r\n")
            self.idle.discard(writer)
            self.under_way += 1
            try:
                if not await self._answer(head.decode("latin-1"), reader, writer):
                    return
            finally:
                self.under_way -= 1

    async def _answer(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False where the connection is of no use afterwards."""
        line, *rest = head.rstrip().split("\r\n")
        headers = dict(one.lower().split(": ", 1) for one in rest if ": " in one)
        method, target, _ = line.split(" ")
        self.see(headers.get("x-id", ""))
        path, _, argument = target.partition("?")
        if self.mood is Mood.RESETTING:
            writer.transport.abort()
            return False
        if path == "/ws":
            await self._websocket(headers, reader, writer)
            return False
        size = await _read_body(headers, reader)
        status, body = "503 Busy" if self.mood is Mood.REFUSING else "200 OK", self.name
        if path == "/close":
            return False
        if path == "/slow":
            await asyncio.sleep(float(argument))
        elif path == "/status":
            status = f"{argument} Asked"
        elif path == "/headers":
            lines = [one.split(": ", 1) for one in rest if ": " in one]
            body = json.dumps({"line": line, "headers": lines, "app": self.name})
        elif path == "/big":
            body = "x" * int(argument)
        await self.take_time()
        lasts = not self.is_ending and headers.get("connection") != "close"
        text = [
            f"HTTP/1.1 {status}",
            f"x-app: {self.name}",
            f"x-body: {size}",
            f"content-length: {len(body)}",
            *([] if lasts else ["connection: close"]),
        ]
        writer.write("\r\n".join([*text, "", "" if method == "HEAD" else body]).encode())
        await writer.drain()
        return lasts

    async def _websocket(
        self, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # Keys are case-sensitive, and the headers were lowered; the client does not look.
        key = headers.get("sec-websocket-key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"x-app: {self.name}", f"Sec-WebSocket-Accept: {accept}", "", ""]
        writer.write("\r\n".join(lines).encode())
        while not self.is_ending:
            self.idle.add(writer)
            first, size = await reader.readexactly(2)
            self.idle.discard(writer)
            mask = await reader.readexactly(4)
            data = await reader.readexactly(size & 0x7F)
            text = bytes(one ^ mask[place % 4] for place, one in enumerate(data))
            self.see(text.decode())
            await self.take_time()
            writer.write(bytes([first, len(text)]) + text)
            await writer.drain()

    async def http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests of HTTP/2 until the connection ends."""
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        peer.initiate_connection()
        writer.write(peer.data_to_send())
        self.idle.add(writer)
        sizes: dict[int, int] = {}
        answers: set[asyncio.Task[None]] = set()
        while data := await reader.read(_PIECE):
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.see(dict(event.headers).get(b"x-id", b"").decode())
                    sizes[event.stream_id] = 0
                elif isinstance(event, h2.events.DataReceived):
                    sizes[event.stream_id] += len(event.data)
                    peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    size = sizes.pop(event.stream_id)
                    task = asyncio.create_task(
                        self._answer_http2(peer, writer, event.stream_id, size)
                    )
                    answers.add(task)
                    task.add_done_callback(answers.discard)
            writer.write(peer.data_to_send())
            await writer.drain()

    async def _answer_http2(
        self,
        peer: h2.connection.H2Connection,
        writer: asyncio.StreamWriter,
        stream: int,
        size: int,
    ) -> None:
        if self.mood is Mood.RESETTING:
            writer.transport.abort()
            return
        self.under_way += 1
        try:
            await self.take_time()
            body = self.name.encode()
            answer = [
                (":status", "503" if self.mood is Mood.REFUSING else "200"),
                ("x-app", self.name),
                ("x-body", str(size)),
                ("content-length", str(len(body))),
            ]
            peer.send_headers(stream, answer)
            peer.send_data(stream, body, end_stream=True)
            writer.write(peer.data_to_send())
        except h2.exceptions.ProtocolError:
            pass  # the other side has lost interest
        finally:
            self.under_way -= 1

    async def tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every line with the name."""
        self.idle.add(writer)
        while line := await reader.readline():
            self.see(line.decode().strip())
            if self.mood is Mood.RESETTING:
                writer.transport.abort()
                return
            await self.take_time()
            writer.write(f"{self.name}\n".encode())
            await writer.drain()

    async def unary(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """Answer a call: an id, and after a space how many seconds the answer takes."""
        import grpc  # noqa: PLC0415, for this kind alone

        name, _, seconds = request.decode().partition(" ")
        self.see(name)
        if self.mood is Mood.REFUSING:
            await context.abort(grpc.StatusCode.UNAVAILABLE, self.name)
        await self.take_time()
        await asyncio.sleep(float(seconds or 0))
        return self.name.encode()

    async def stream(
        self,
        requests: AsyncIterator[bytes],
        context: grpc.aio.ServicerContext[bytes, bytes],
    ) -> AsyncIterator[bytes]:
        """Answer each message of a stream as a call."""
        async for request in requests:
            yield await self.unary(request, context)

    def handler(self, kind: str) -> Handler:
        """Return what treats a connection; however it ends, the application goes on."""
        treat: Handler = {"http": self.http, "http2": self.http2, "tcp": self.tcp}[kind]

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await treat(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError, ValueError):
                pass
            except h2.exceptions.ProtocolError:
                pass
            finally:
                self.idle.discard(writer)
                writer.close()

        return handle


async def _read_body(headers: dict[str, str], reader: asyncio.StreamReader) -> int:
    if headers.get("transfer-encoding") == "chunked":
        total = 0
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
            total += size
        await reader.readline()
        return total
    left = total = int(headers.get("content-length", "0"))
    while left:
        piece = await reader.read(min(left, _PIECE))
        if not piece:
            raise ConnectionResetError
        left -= len(piece)
    return total


async def _serve(application: Application, places: dict[str, tuple[str, int]]) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    for mood in Mood:
        loop.add_signal_handler(mood.value, functools.partial(setattr, application, "mood", mood))
    rpc = await _grpc_server(application, places.pop("grpc")) if "grpc" in places else None
    servers = [
        await asyncio.start_server(
            application.handler(kind), *place, limit=1 << 20, backlog=_BACKLOG
        )
        for kind, place in places.items()
    ]
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await ended.wait()
    application.is_ending = True
    for server in servers:
        server.close()
    for writer in list(application.idle):
        writer.close()
    if rpc is not None:
        await rpc.stop(10)
    await application.drained()


async def _check(_request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return _SERVING


async def _grpc_server(application: Application, place: tuple[str, int]) -> grpc.aio.Server:
    """Start gRPC's own server in its default settings: ``/t/Unary`` and ``/t/Stream``."""
    import grpc  # noqa: PLC0415, for this kind alone

    def as_it_is(data: bytes) -> bytes:
        return data

    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(application.unary, as_it_is, as_it_is),
        "Stream": grpc.stream_stream_rpc_method_handler(application.stream, as_it_is, as_it_is),
    }
    health = {"Check": grpc.unary_unary_rpc_method_handler(_check, as_it_is, as_it_is)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("t", methods),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
        )
    )
    server.add_insecure_port(f"{place[0]}:{place[1]}")
    await server.start()
    return server


def main() -> None:
    name, seen, takes, *wanted = sys.argv[1:]
    descriptor = os.open(Path(seen), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    places = {}
    for one in wanted:
        kind, _, place = one.partition("=")
        host, _, port = place.rpartition(":")
        places[kind] = (host, int(port))
    seconds, _, at_a_time = takes.partition("/")
    turns = asyncio.Semaphore(int(at_a_time or _ALL))
    asyncio.run(_serve(Application(name, descriptor, float(seconds), turns), places))


if __name__ == "__main__":
    main()
