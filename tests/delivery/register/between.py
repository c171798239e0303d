"""Somebody between a client and a real Consul, who sees every question and may step in."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.consul.server import ConsulServer

_HOST = "127.0.47.1"
_KEPT = ("content-type", "x-consul-index", "x-consul-results-filtered-by-acls")


@dataclass(frozen=True, slots=True)
class Question:
    """One question; ``number`` counts from one."""

    number: int
    method: str
    path: str
    body: bytes

    @property
    def is_write_of_entries(self) -> bool:
        return self.path.startswith("/v1/txn")


class CutOffError(Exception):
    """No answer is given; the connection ends."""


class Between:
    """Listens from entry to exit.

    ``before`` is called with each question before Consul gets it, ``after`` before its answer is
    given; both may raise CutOffError, ``before`` may also return an answer of its own.
    """

    def __init__(self, server: ConsulServer) -> None:
        self.before: Callable[[Question], tuple[int, str] | None] = lambda _question: None
        self.after: Callable[[Question], None] = lambda _question: None
        self.questions: list[Question] = []
        self._counting = threading.Lock()
        self._server = _Server((_HOST, 0), _handler(self, server))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def asked(self, method: str, path: str, body: bytes) -> Question:
        with self._counting:
            question = Question(len(self.questions) + 1, method, path, body)
            self.questions.append(question)
            return question


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def _handler(between: Between, server: ConsulServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            question = between.asked(self.command, self.path, body)
            try:
                own = between.before(question)
                status, headers, text = (
                    (own[0], {}, own[1].encode()) if own is not None else self.forwarded(body)
                )
                between.after(question)
            except CutOffError:
                self.close_connection = True
                return
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

        def forwarded(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(server.host, server.ports["http"], timeout=20)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                reply = connection.getresponse()
                kept = {name: value for name, value in reply.getheaders() if name.lower() in _KEPT}
                return reply.status, kept, reply.read()
            finally:
                connection.close()

        do_GET = do_PUT = do_DELETE = serve  # noqa: N815, as the library calls them

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002, inherited
            """Keep quiet."""

    return Handler
