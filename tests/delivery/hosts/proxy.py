"""Something in the place of Envoy's admin interface that passes on, lies, floods or hangs."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tests.delivery.hosts.mesh import Address

_PIECE = b"x" * (1 << 20)
_PIECES = 1024
_LIMIT_S = 30


class AdminProxy:
    """Answers as ``mode`` says: pass, garbage, endless, hang, or another version's words."""

    def __init__(self, host: str, envoy: Address) -> None:
        self.mode = "pass"
        self.sent = 0
        """The most bytes of one endless answer that were taken."""
        self.closed = threading.Event()
        self._envoy = envoy
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    proxy.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002, inherited
                """Keep quiet."""

        self._server = http.server.ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        match self.mode:
            case "garbage":
                self._send(handler, b"\x00\xff{]<html>")
            case "endless":
                self._flood(handler)
            case "hang":
                self.closed.wait(_LIMIT_S)
            case "renamed":
                body = self._ask(handler.path)
                self._send(handler, body.replace(b"1.40.0", b"9.9.9-dev"))
            case _:
                self._send(handler, self._ask(handler.path))

    def _ask(self, path: str) -> bytes:
        connection = http.client.HTTPConnection(*self._envoy, timeout=_LIMIT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def _send(self, handler: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _flood(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for number in range(_PIECES):
            handler.wfile.write(_PIECE)
            self.sent = max(self.sent, (number + 1) * len(_PIECE))
