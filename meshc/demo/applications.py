"""The sample applications, all in one process: quick, small, and without any idea of a mesh.

Run as a file, with nothing but the standard library: ``python -I applications.py FOLDER``
Reads one application per line from its input, as JSON, and answers each line once it listens.
Ends with its input, also when whoever wrote it was killed, and then removes FOLDER: it is the
last to leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Answer = Callable[[bytes], Awaitable[str]]
    """From the head of a request to what the application says."""

_OK = b"HTTP/1.1 200 OK"
_BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway"
_PATIENCE_S = 5.0
_TRACE_FIELDS = (b"x-request-id", b"b3", b"x-b3-", b"traceparent", b"tracestate")
"""What ties a call that is made to the request that it is made for; starts of lower-case names."""


class Connections:
    """Keeps connections to one address open for the next caller."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, question: bytes, read: Callable[..., Awaitable[tuple[str, bool]]]) -> str:
        """Ask once; a question that fails is not repeated, so that no fault is hidden."""
        pair = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
        reader, writer = pair
        is_kept = False
        try:
            writer.write(question)
            answer, is_kept = await read(reader)
        finally:
            if is_kept:
                self._idle.append(pair)
            else:
                writer.close()
        return answer


async def read_http_answer(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """Read the body of an answer, and whether its connection may be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].split("\r\n")[0])
    body = (await reader.readexactly(length)).decode()
    if " 200 " not in head.split("\r\n")[0] + " ":
        raise ConnectionError(f"{head.split(chr(13))[0]}: {body.strip()}")
    return body.strip(), "connection: close" not in head


async def read_line(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """Read one line, which must be there."""
    line = await reader.readuntil(b"\n")
    return line.decode().strip(), True


def named(name: str) -> Answer:
    """Build an application that says who it is."""

    async def answer(_head: bytes) -> str:
        return name

    return answer


def trace_fields(head: bytes) -> bytes:
    """Return the fields of a request that an application has to pass on, for whole traces."""
    lines = [line.strip() for line in head.split(b"\r\n")[1:]]
    return b"".join(line + b"\r\n" for line in lines if line.lower().startswith(_TRACE_FIELDS))


def front(name: str, app: tuple[str, int], store: tuple[str, int]) -> Answer:
    """Build an application that asks two services, each at an address of its own Envoy."""
    app_calls, store_calls = Connections(*app), Connections(*store)
    question = f"GET / HTTP/1.1\r\nHost: {app[0]}:{app[1]}\r\n".encode()

    async def answer(head: bytes) -> str:
        request = question + trace_fields(head) + b"\r\n"
        app_said = await app_calls.call(request, read_http_answer)
        store_said = await store_calls.call(b"visit\n", read_line)
        return f"{name}: app answers from {app_said}, store from {store_said}"

    return answer


async def serve_http(
    answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer requests on one connection until its other end closes it."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            try:
                status, text = _OK, await asyncio.wait_for(answer(head), _PATIENCE_S)
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                status, text = _BAD_GATEWAY, f"{type(error).__name__}: {error}"
            body = text.encode() + b"\n"
            closes = b"\r\nconnection: close" in head.lower()
            fields = b"\r\ncontent-type: text/plain\r\ncontent-length: %d" % len(body)
            fields += b"\r\nconnection: close" if closes else b""
            writer.write(status + fields + b"\r\n\r\n" + body)
            await writer.drain()
            if closes:
                break
    writer.close()


class Store:
    """A service with a tiny protocol of its own: ``visit`` counts, ``count`` only tells."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._visits = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one line for each line."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                line = await reader.readuntil(b"\n")
                self._visits += line.strip() == b"visit"
                writer.write(f"{self._name} (visits: {self._visits})\n".encode())
                await writer.drain()
        writer.close()


async def start(order: dict[str, Any]) -> asyncio.Server:
    """Start one application."""
    place = order["host"], order["port"]
    match order["kind"]:
        case "store":
            return await asyncio.start_server(Store(order["name"]).serve, *place)
        case "front":
            answer = front(order["name"], tuple(order["app"]), tuple(order["store"]))
        case _:
            answer = named(order["name"])
    return await asyncio.start_server(lambda r, w: serve_http(answer, r, w), *place)


async def main(folder: str) -> None:
    """Start what the input asks for until it ends."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    servers = []
    while line := await orders.readline():
        try:
            servers.append(await start(json.loads(line)))
            said: dict[str, Any] = {"ok": True}
        except OSError as error:
            said = {"ok": False, "error": str(error)}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
