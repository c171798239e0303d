"""What a load is, what is written down of each request, and the connection that clients have."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

TEXT_SIZE = 160
PIECE = 1 << 16
BIG = 5_000_000
"""Bytes of a large body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Clients that ask for the same thing at the same moments, ``period`` seconds apart.

    ``is_spread``: each at moments of its own.

    ``kind`` names a protocol and what is sent: ``http get``, ``grpc stream``, ``tcp``.
    """

    column: str
    kind: str
    host: str
    port: int
    clients: int
    is_kept: bool
    period: float
    is_spread: bool = False


@dataclass(slots=True, kw_only=True)
class Record:
    """One request.  ``app`` is who answered, ``error`` what went wrong otherwise.

    ``is_first``: nothing had come over its connection before.  ``is_begun``: an application had
    begun to answer.
    """

    column: str
    kind: str
    id: str
    began: float
    took: float = 0.0
    app: str = ""
    status: str = ""
    error: str = ""
    is_first: bool = True
    is_begun: bool = False


class Broken(Exception):  # noqa: N818, what a connection is
    """A connection that ends without an answer."""


class AnsweredOtherwise(Exception):  # noqa: N818, what a handshake is
    """A handshake that was refused; the record says how."""


class Client(Protocol):
    """Asks over one connection at a time."""

    async def ask(self, record: Record) -> None:
        """Send a request and complete its record, or raise what the connection ended with."""

    def close(self) -> None:
        """Close the connection; the next request opens another one."""


class Connected:
    """A client's connection, opened when it is needed."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self, record: Record) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the connection, and note whether it is a new one.

        One that the other side has closed meanwhile is of no use, as every client knows.
        """
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        record.is_first = self._streams is None
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.load.host, self.load.port)
        return self._streams

    @property
    def is_open(self) -> bool:
        return self._streams is not None

    @property
    def reader(self) -> asyncio.StreamReader:
        if self._streams is None:
            raise Broken("closed")
        return self._streams[0]

    @property
    def writer(self) -> asyncio.StreamWriter:
        if self._streams is None:
            raise Broken("closed")
        return self._streams[1]

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """Read the head of an answer in HTTP/1.1: its status and its headers in lower case."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = text.split("\r\n")
    return first.split(" ", 2)[1], dict(one.lower().split(": ", 1) for one in rest if ": " in one)
