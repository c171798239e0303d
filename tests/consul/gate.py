"""A gate before a real Consul: counts what passes, kills who asks, or answers in Consul's place."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

_LONGEST_S = 120
_HUGE_PIECES = 4096
_PIECE = b" " * 65536
_SLOW_S = 0.2


@dataclass(frozen=True, slots=True)
class Passed:
    """One request that came to the gate."""

    method: str
    path: str
    sent: int
    """Bytes of its body."""
    at: float


Hook = Callable[[int], None]


@dataclass(slots=True)
class Gate:
    """Passes requests on, as long as ``mode`` is "pass".

    ``before`` and ``after`` are called with the number of the request, from 1: before it is
    passed on, and when Consul has answered but the one who asked does not know it.
    """

    target: tuple[str, int]
    host: str = "127.0.46.4"
    mode: str = "pass"
    passed: list[Passed] = field(default_factory=list)
    before: Hook = lambda _number: None
    after: Hook = lambda _number: None
    _server: http.server.ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with gate._lock:
                    gate._open.add(self.connection)

            def finish(self) -> None:
                with gate._lock:
                    gate._open.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def handle(self) -> None:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    super().handle()

            def do_GET(self) -> None:
                gate._pass(self)

            do_PUT = do_DELETE = do_GET  # noqa: N815, the library's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002, inherited
                """Keep quiet."""

        self._server = http.server.ThreadingHTTPServer((self.host, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
        self.cut()
        self._thread.join()

    @property
    def place(self) -> str:
        assert self._server is not None
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def set(self, mode: str) -> None:
        """Behave in another way from now on, also toward those who wait for an answer."""
        self.mode = mode
        self.cut()

    def cut(self) -> None:
        """Cut all connections."""
        with self._lock:
            connections = list(self._open)
        for one in connections:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _pass(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", "0")))
        with self._lock:
            asked = Passed(handler.command, handler.path, len(body), time.monotonic())
            self.passed.append(asked)
            number = len(self.passed)
        self.before(number)
        match self.mode:
            case "pass":
                reply = self._ask(handler, body)
                self.after(number)
                self._answer(handler, *reply)
            case "500":
                self._answer(handler, 500, b"No cluster leader", {})
            case "403":
                self._answer(handler, 403, b"Permission denied: token lacks permission", {})
            case "garbage":
                self._answer(handler, 200, b'[{"Key": "meshc", "Value": "\x00\xff', {})
            case "empty":
                self._answer(handler, 200, b"[]", {"X-Consul-Index": "7"})
            case "huge":
                self._flood(handler)
            case "slow":
                self._trickle(handler)
            case "silent":
                self._end.wait(_LONGEST_S)
            case _:
                handler.close_connection = True  # "gone"

    def _ask(
        self, handler: http.server.BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(*self.target, timeout=_LONGEST_S)
        try:
            headers = {
                name: value
                for name, value in handler.headers.items()
                if name.lower() not in {"host", "connection"}
            }
            connection.request(handler.command, handler.path, body or None, headers)
            reply = connection.getresponse()
            shown = {k: v for k, v in reply.getheaders() if k.lower().startswith("x-consul")}
            return reply.status, reply.read(), shown
        finally:
            connection.close()

    def _answer(
        self,
        handler: http.server.BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        headers: dict[str, str],
    ) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _flood(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.end_headers()
        for _ in range(_HUGE_PIECES):
            handler.wfile.write(_PIECE)

    def _trickle(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not self._end.wait(_SLOW_S):
            handler.wfile.write(b" ")
