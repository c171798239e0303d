"""A sample application: says who it is, or asks the next service and says who answered.

    application.py NAME HOST:PORT [URL]

It knows nothing of a mesh.  Two things make it fit into one: it calls others at an address of its
own Envoy, and it passes on the fields that tie a call to the request that it is made for.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_TRACE_FIELDS = ("x-request-id", "b3", "x-b3-", "traceparent", "tracestate")
_PATIENCE_S = 5


class Application(ThreadingHTTPServer):
    """One sample application."""

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, name: str, address: tuple[str, int], calls: str | None) -> None:
        super().__init__(address, _Request)
        self.name = name
        self._calls = calls
        # Proxies of the environment are for other networks.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def answer(self, trace: dict[str, str]) -> tuple[int, str]:
        """Return status and text of an answer; ``trace`` goes to whoever is called for it."""
        if self._calls is None:
            return 200, self.name
        request = urllib.request.Request(self._calls, headers=trace)  # noqa: S310, an argument
        try:
            with self._opener.open(request, timeout=_PATIENCE_S) as answer:
                return 200, f"{self.name}: {answer.read().decode().strip()} answers"
        except (OSError, urllib.error.HTTPError) as error:
            return 502, f"{self.name}: {self._calls}: {error}"


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Application

    def do_GET(self) -> None:
        fields = {key.lower(): value for key, value in self.headers.items()}
        trace = {key: value for key, value in fields.items() if key.startswith(_TRACE_FIELDS)}
        status, text = self.server.answer(trace)
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, inherited
        """Leave the log to Envoy."""


def main(name: str, address: str, calls: str | None = None) -> None:
    """Serve until somebody ends it."""
    host, _, port = address.rpartition(":")
    with Application(name, (host, int(port)), calls) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
