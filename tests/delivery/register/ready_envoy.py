"""As much of an Envoy as a health check looks at."""

from __future__ import annotations

import http.server
import socket
import threading
from typing import Self


class ReadyEnvoy:
    """A listener, and an admin interface that says /ready."""

    def __init__(self, host: str) -> None:
        self.is_ready = True
        ready = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_good = ready.is_ready and self.path == "/ready"
                self.send_response(200 if is_good else 503)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002, inherited
                """Keep quiet."""

        self.listener = socket.create_server((host, 0))
        self.admin = http.server.ThreadingHTTPServer((host, 0), Handler)
        self._thread = threading.Thread(target=self.admin.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.listener.close()
        self.admin.shutdown()
        self.admin.server_close()
        self._thread.join()

    @property
    def ports(self) -> tuple[int, int]:
        return self.listener.getsockname()[1], self.admin.server_address[1]
