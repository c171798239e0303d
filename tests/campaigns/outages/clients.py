"""Clients of every kind in one process, which writes down what became of each request.

    python -m tests.campaigns.outages.clients LOADS RECORDS

LOADS is a JSON file with a list of loads, RECORDS what is written: one JSON line a request, when it
is over.  SIGTERM ends it, once all that is under way is over or three more seconds have passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import h2.exceptions

from tests.campaigns.outages.http2 import Http2
from tests.campaigns.outages.requests import (
    BIG,
    PIECE,
    TEXT_SIZE,
    AnsweredOtherwise,
    Broken,
    Client,
    Connected,
    Load,
    Record,
    read_head,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_S = 25.0
_LAST_S = 3.0
_SMALL = 20
_REQUESTS = {
    "get": ("GET", "/", 0),
    "download": ("GET", f"/big?{BIG}", 0),
    "post": ("POST", "/", _SMALL),
    "upload": ("POST", "/", BIG),
}
"""Kind of request → method, target and size of its body."""


class Http1(Connected):
    """Requests of HTTP/1.1, with small and with large bodies."""

    async def ask(self, record: Record) -> None:
        reader, writer = await self.open(record)
        method, target, size = _REQUESTS[self.load.kind.partition(" ")[2]]
        end = "" if self.load.is_kept else "connection: close\r\n"
        head = f"{method} {target} HTTP/1.1\r\nhost: mesh\r\nx-id: {record.id}\r\n{end}"
        writer.write(f"{head}content-length: {size}\r\n\r\n".encode())
        sending = asyncio.create_task(_send(writer, size))
        try:
            record.status, headers = await read_head(reader)
            record.app = headers.get("x-app", "")
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        finally:
            is_sent = sending.done()
            sending.cancel()
        if not record.app:
            record.error = body.decode()[:TEXT_SIZE] or f"status {record.status}"
        if headers.get("connection") == "close" or not self.load.is_kept or not is_sent:
            self.close()


async def _send(writer: asyncio.StreamWriter, left: int) -> None:
    with contextlib.suppress(ConnectionError):
        while left:
            piece = b"x" * min(left, PIECE)
            writer.write(piece)
            await writer.drain()
            left -= len(piece)


class Tcp(Connected):
    """Lines that are answered by lines."""

    async def ask(self, record: Record) -> None:
        reader, writer = await self.open(record)
        writer.write(f"{record.id}\n".encode())
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise Broken("the connection was closed")
        record.app = line.decode().strip()
        if not self.load.is_kept:
            self.close()


class WebSocket(Connected):
    """A WebSocket, and messages that come back."""

    _app = ""

    async def ask(self, record: Record) -> None:
        reader, writer = await self.open(record)
        if record.is_first:
            await self._shake_hands(record)
        data = record.id.encode()
        writer.write(bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data)
        if (await reader.readexactly(2 + len(data)))[2:] != data:
            raise Broken("another message came back")
        record.app = self._app
        if not self.load.is_kept:
            self.close()

    async def _shake_hands(self, record: Record) -> None:
        lines = ["GET /ws HTTP/1.1", "Host: mesh", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        record.status, headers = await read_head(self.reader)
        self._app = headers.get("x-app", "")
        if record.status != "101":
            record.app = self._app
            if not self._app:
                size = int(headers.get("content-length", "0"))
                record.error = (await self.reader.readexactly(size)).decode()[:TEXT_SIZE]
                record.error = record.error or f"status {record.status}"
            raise AnsweredOtherwise


_CLIENTS: dict[str, Callable[[Load], Client]] = {
    "http": Http1,
    "http2": Http2,
    "grpc": Http2,
    "tcp": Tcp,
    "websocket": WebSocket,
}
_ENDED = (OSError, asyncio.IncompleteReadError, Broken, h2.exceptions.ProtocolError, ValueError)


class _Crowd:
    """All clients, until they are told to end."""

    def __init__(self, loads: list[Load], records: int) -> None:
        self._loads, self._records = loads, records
        self._is_ending = asyncio.Event()
        self._count = 0
        self._start = time.time() + 0.2

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._is_ending.set)
        draw = random.Random(1)
        tasks = []
        for load in self._loads:
            together = draw.random() * load.period
            for _ in range(load.clients):
                offset = draw.random() * load.period if load.is_spread else together
                tasks.append(asyncio.create_task(self._go_on(load, offset)))
        await self._is_ending.wait()
        await asyncio.wait(tasks, timeout=_LAST_S)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _go_on(self, load: Load, offset: float) -> None:
        """Ask at each moment of a load; where an answer is late, at the next one after it."""
        client: Client = _CLIENTS[load.kind.partition(" ")[0]](load)
        turn = 0
        while not self._is_ending.is_set():
            passed = int((time.time() - self._start - offset) / load.period)
            turn = max(turn, passed) + 1
            pause = self._start + offset + turn * load.period - time.time()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_ending.wait(), max(pause, 0))
            if not self._is_ending.is_set():
                await self._ask(client, load)
        client.close()

    async def _ask(self, client: Client, load: Load) -> None:
        self._count += 1
        name = f"{load.column[:1]}{self._count:x}"
        record = Record(column=load.column, kind=load.kind, id=name, began=time.time())
        try:
            await asyncio.wait_for(client.ask(record), _PATIENCE_S)
        except AnsweredOtherwise:
            client.close()
        except TimeoutError:
            record.error = "no answer in time"
            client.close()
        except _ENDED as error:
            record.error = record.error or f"{type(error).__name__}: {error}"[:TEXT_SIZE]
            record.is_begun, record.app = bool(record.app), ""
            client.close()
        except asyncio.CancelledError:
            record.error = "not over at the end"
            client.close()
            raise
        finally:
            record.took = time.time() - record.began
            os.write(self._records, (json.dumps(asdict(record)) + "\n").encode())


def main() -> None:
    loads = [Load(**one) for one in json.loads(Path(sys.argv[1]).read_text())]
    records = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    asyncio.run(_Crowd(loads, records).run())


if __name__ == "__main__":
    main()
