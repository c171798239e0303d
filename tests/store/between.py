"""Stands between a command and a real Consul, and does to a request what the network may do."""

from __future__ import annotations

import http.client
import http.server
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tests.consul.server import ConsulServer

_DROPPED = ("connection", "keep-alive", "transfer-encoding", "content-length")


def _nothing(_number: int) -> None:
    """Let it pass."""


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, _request: object, _address: object) -> None:
        """Keep quiet: connections break here on purpose."""


@dataclass(slots=True)
class Between:
    """Passes requests on; transactions are numbered from 1.

    ``before`` is called ahead of each transaction, which is lost if that raises, and ``after``
    when it is done, before its answer is passed on.  With ``answer`` every request gets that
    status and body instead; with ``answers_writes`` only transactions do.
    """

    server: ConsulServer
    before: Callable[[int], None] = _nothing
    after: Callable[[int], None] = _nothing
    answer: tuple[int, bytes] | None = None
    answers_writes: bool = False
    writes: int = 0
    tokens: list[str] = field(default_factory=list)
    _listener: http.server.ThreadingHTTPServer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.pass_on(self, number=0)

            def do_PUT(self) -> None:
                with outer._lock:
                    outer.writes += 1
                outer.pass_on(self, number=outer.writes)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._listener = _Listener((self.server.host, 0), Handler)
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        assert self._listener is not None
        self._listener.shutdown()
        self._listener.server_close()

    def url(self, mesh: str) -> str:
        assert self._listener is not None
        return f"consul://{self.server.host}:{self._listener.server_address[1]}/{mesh}"

    def pass_on(self, request: http.server.BaseHTTPRequestHandler, *, number: int) -> None:
        self.tokens.append(request.headers.get("X-Consul-Token", ""))
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        if number:
            self.before(number)
        if self.answer is not None and (number or not self.answers_writes):
            status, reply = self.answer
            headers: list[tuple[str, str]] = []
        else:
            status, reply, headers = self._asked(request, body)
        if number:
            self.after(number)
        request.send_response(status)
        for name, value in headers:
            if name.lower() not in _DROPPED:
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(reply)))
        request.end_headers()
        request.wfile.write(reply)

    def _asked(
        self, request: http.server.BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        place = self.server.address.removeprefix("http://")
        consul = http.client.HTTPConnection(place, timeout=30)
        try:
            consul.request(request.command, request.path, body or None)
            found = consul.getresponse()
            return found.status, found.read(), found.getheaders()
        finally:
            consul.close()
