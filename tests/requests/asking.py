"""Clients that ask without pause, and what became of each request."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE_S = 20


def ask_for(
    address: tuple[str, int],
    seconds: float,
    *,
    clients: int,
    method: str = "GET",
    path: str = "/",
    body: bytes | None = None,
) -> Counter[str]:
    """Ask on kept connections; returns how often each status came, or each error."""

    @contextlib.contextmanager
    def start() -> Iterator[Callable[[], str]]:
        connection = http.client.HTTPConnection(*address, timeout=_PATIENCE_S)

        def ask() -> str:
            try:
                connection.request(method, path, body)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                return type(error).__name__
            return str(answer.status)

        yield ask
        connection.close()

    return _asked(start, seconds, clients)


def connect_for(address: tuple[str, int], seconds: float, *, clients: int) -> Counter[str]:
    """Open connections, send a line on each; returns how often each name came, or what else."""

    def ask() -> str:
        try:
            with socket.create_connection(address, _PATIENCE_S) as stream:
                stream.sendall(b"hello\n")
                return stream.recv(100).decode().strip() or "closed"
        except OSError as error:
            return type(error).__name__

    return _asked(lambda: contextlib.nullcontext(ask), seconds, clients)


def _asked(
    start: Callable[[], contextlib.AbstractContextManager[Callable[[], str]]],
    seconds: float,
    clients: int,
) -> Counter[str]:
    found: Counter[str] = Counter()
    lock = threading.Lock()
    end = time.monotonic() + seconds

    def run() -> None:
        mine: Counter[str] = Counter()
        with start() as ask:
            while time.monotonic() < end:
                mine[ask()] += 1
        with lock:
            found.update(mine)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def get(
    address: tuple[str, int],
    path: str = "/",
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> http.client.HTTPResponse:
    """Ask once, on a connection of its own; the answer has been read, see ``text``."""
    connection = http.client.HTTPConnection(*address, timeout=_PATIENCE_S)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        answer.text = answer.read().decode()  # type: ignore[attr-defined]
        return answer
    finally:
        connection.close()


def exchange(address: tuple[str, int], data: bytes, limit: int = 65_536) -> bytes:
    """Send bytes as they are, and return what comes back until the other side is done."""
    with socket.create_connection(address, _PATIENCE_S) as stream:
        stream.sendall(data)
        found = b""
        while len(found) < limit and (piece := stream.recv(limit)):
            found += piece
        return found
