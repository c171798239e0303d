"""An application as a process: HTTP/1.1 with WebSockets, HTTP/2, gRPC, or bytes over TCP.

    python application.py KIND HOST PORT NAME SEEN

Every answer says the application's name.  Before it does anything with a request it appends the
request's id to the file SEEN, so that what it saw outlives a kill.  SIGTERM makes it accept nothing
more, finish what is under way, and end.

Paths of HTTP: ``/slow?SECONDS``, ``/status?CODE``, ``/headers`` (answers them), ``/close`` (ends
the connection in place of an answer), ``/ws`` (a WebSocket that sends back what it gets).
"""

from __future__ import annotations

import asyncio
import base64
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PIECE = 1 << 16
_BACKLOG = 4096


@dataclass(slots=True)
class Application:
    """What all kinds share: a name, the record of what was seen, and what is under way."""

    name: str
    seen: int
    under_way: int = 0
    is_ending: bool = False
    idle: set[asyncio.StreamWriter] = field(default_factory=set)

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        while self.under_way:  # noqa: ASYNC110, an event for each request would cost more
            await asyncio.sleep(0.01)

    def see(self, request: str) -> None:
        """Remember a request, in one write that a kill cannot take back."""
        if request:
            os.write(self.seen, f"{request}\n".encode())

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
        if path == "/ws":
            await self._websocket(headers, reader, writer)
            return False
        size = await _read_body(headers, reader)
        status, body = "200 OK", self.name
        if path == "/close":
            return False
        if path == "/slow":
            await asyncio.sleep(float(argument))
        elif path == "/status":
            status = f"{argument} Asked"
        elif path == "/headers":
            lines = [one.split(": ", 1) for one in rest if ": " in one]
            body = json.dumps({"line": line, "headers": lines, "app": self.name})
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
        while True:
            first, size = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            data = await reader.readexactly(size & 0x7F)
            text = bytes(one ^ mask[place % 4] for place, one in enumerate(data))
            self.see(text.decode())
            writer.write(bytes([first, len(text)]) + text)
            await writer.drain()

    async def http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests of HTTP/2 until the connection ends."""
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        peer.initiate_connection()
        writer.write(peer.data_to_send())
        self.idle.add(writer)
        sizes: dict[int, int] = {}
        while data := await reader.read(_PIECE):
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.see(dict(event.headers).get(b"x-id", b"").decode())
                    sizes[event.stream_id] = 0
                elif isinstance(event, h2.events.DataReceived):
                    sizes[event.stream_id] += len(event.data)
                    peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    body = self.name.encode()
                    answer = [(":status", "200"), ("x-app", self.name)]
                    answer.append(("x-body", str(sizes.pop(event.stream_id))))
                    answer.append(("content-length", str(len(body))))
                    peer.send_headers(event.stream_id, answer)
                    peer.send_data(event.stream_id, body, end_stream=True)
            writer.write(peer.data_to_send())
            await writer.drain()

    async def tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every line with the name."""
        self.idle.add(writer)
        while line := await reader.readline():
            self.see(line.decode().strip())
            writer.write(f"{self.name}\n".encode())
            await writer.drain()

    def handler(self, kind: str) -> Handler:
        """Return what treats a connection; however it ends, the application goes on."""
        treat: Handler = {"http": self.http, "http2": self.http2, "tcp": self.tcp}[kind]

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await treat(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError, ValueError):
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


async def _serve(application: Application, kind: str, host: str, port: int) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = await asyncio.start_server(
        application.handler(kind), host, port, limit=1 << 20, backlog=_BACKLOG
    )
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await ended.wait()
    application.is_ending = True
    server.close()
    for writer in list(application.idle):
        writer.close()
    await application.drained()


def _serve_grpc(application: Application, host: str, port: int) -> None:
    """Serve with gRPC's own server in its default settings: ``/t/Unary`` and ``/t/Stream``.

    A request is an id, and after a space how many seconds the answer takes.
    """
    import threading  # noqa: PLC0415, for this kind alone
    import time  # noqa: PLC0415
    from concurrent import futures  # noqa: PLC0415

    import grpc  # noqa: PLC0415

    def unary(request: bytes, _context: object) -> bytes:
        name, _, seconds = request.decode().partition(" ")
        application.see(name)
        time.sleep(float(seconds or 0))
        return application.name.encode()

    def stream(requests: AsyncIterator[bytes], context: object) -> object:
        for request in requests:  # type: ignore[attr-defined]
            yield unary(request, context)

    def as_it_is(data: bytes) -> bytes:
        return data

    class Methods(grpc.GenericRpcHandler):
        def service(
            self, details: grpc.HandlerCallDetails
        ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
            kind = str(details.method).rpartition("/")[2]
            if kind == "Unary":
                return grpc.unary_unary_rpc_method_handler(unary, as_it_is, as_it_is)
            if kind == "Stream":
                return grpc.stream_stream_rpc_method_handler(stream, as_it_is, as_it_is)
            return None

    server = grpc.server(futures.ThreadPoolExecutor(300))
    server.add_generic_rpc_handlers((Methods(),))
    server.add_insecure_port(f"{host}:{port}")
    server.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    ended.wait()
    server.stop(10).wait()


def main() -> None:
    kind, host, port, name, seen = sys.argv[1:]
    descriptor = os.open(Path(seen), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    application = Application(name, descriptor)
    if kind == "grpc":
        _serve_grpc(application, host, int(port))
    else:
        asyncio.run(_serve(application, kind, host, int(port)))


if __name__ == "__main__":
    main()
