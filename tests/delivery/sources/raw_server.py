"""A server on loopback whose every byte a test decides, with a record of what it was asked."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

HOST = "127.0.44.1"
_MAX_HEAD = 64 * 1024

Answer = bytes | Callable[[socket.socket], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class RawServer:
    """Answers by path; an answer is the bytes of the whole reply, or what is done on the socket.

    Paths without an answer get a 404.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    _listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self._listener = socket.create_server((HOST, 0))
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._listener is not None
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    @property
    def address(self) -> str:
        assert self._listener is not None
        host, port = self._listener.getsockname()
        return f"{'http' if self.tls is None else 'https'}://{host}:{port}"

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.asked]

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
                stack.enter_context(connection)
            asked = _read(connection)
            self.asked.append(asked)
            answer = self.answers.get(asked.path, reply(b"", status="404 Not Found"))
            if isinstance(answer, bytes):
                connection.sendall(answer)
            else:
                answer(connection)


def reply(body: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    """A reply as a good server gives it; ``x_y`` names the header ``x-y``."""
    given = {"content_length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{k.replace('_', '-')}: {v}" for k, v in given.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def reset(connection: socket.socket) -> None:
    """Break the connection off, as a router does that has forgotten it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _read(connection: socket.socket) -> Asked:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(_MAX_HEAD)
        if not piece:
            raise ConnectionResetError
        head += piece
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return Asked(first.split(" ")[1], {name.lower(): value.strip() for name, _, value in pairs})
