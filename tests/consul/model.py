"""A Consul that lies, for what a real one cannot be made to do.

Keys and values behave as in Consul, blocking queries included; `troubles` are what happens to
the next requests instead, and `always` to all.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from meshc.consul.client import ConsulClient
from meshc.consul.secret import Secret
from meshc.consul.settings import ConsulSettings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_LONGEST_S = 30.0


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as it came; names of headers are in lower case.

    ``at`` is the moment, ``connection`` the port at the other end.
    """

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: float
    connection: int


Trouble = Callable[[socket.socket], None]
"""What is done on the connection instead of answering; it is closed afterwards."""


class ModelConsul:
    """Serves on loopback from entry to exit."""

    def __init__(self, host: str = "127.0.46.2", tls: ssl.SSLContext | None = None) -> None:
        self.questions: list[Question] = []
        self.troubles: deque[Trouble] = deque()
        self.always: Trouble | None = None
        self.token: str | None = None
        """The only token that may do anything; None: no token is needed."""
        self.shown_index: Callable[[int], int] = lambda index: index
        """What is said to be the index; a liar's is another."""
        self.never_waits = False
        self.last_contact_ms = 0
        self._kv: dict[str, tuple[bytes, int]] = {}
        self._index = 10
        self._changed = threading.Condition()
        self._end = threading.Event()
        model = self

        class Handler(_Handler):
            owner = model

        self._scheme = "http" if tls is None else "https"
        self._server = _Server((host, 0), Handler)
        if tls is not None:
            # Shaken hands with in the thread of the connection, so that nobody holds up the rest.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        with self._changed:
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def place(self) -> tuple[str, int]:
        host, port = self._server.server_address[:2]
        return str(host), port

    @property
    def address(self) -> str:
        host, port = self.place
        return f"{self._scheme}://{host}:{port}"

    def client(self, *, timeout: float = 10.0, token: str = "", **named: Any) -> ConsulClient:
        settings = ConsulSettings(address=self.address, timeout=timeout, token=Secret(token))
        return ConsulClient(settings, **named)

    def put(self, key: str, value: bytes) -> int:
        """Change a key as if somebody had; return the index of the change."""
        with self._changed:
            self._index += 1
            self._kv[key] = (value, self._index)
            self._changed.notify_all()
            return self._index

    def forget(self, index: int) -> None:
        """Come back from a snapshot that is as old as that."""
        with self._changed:
            self._index = index
            self._kv = {
                key: (value, min(index, changed)) for key, (value, changed) in self._kv.items()
            }
            self._changed.notify_all()

    def wake(self) -> None:
        """Answer every blocking query though nothing has changed."""
        with self._changed:
            self._changed.notify_all()

    def answer(self, question: Question) -> tuple[int, Any]:
        """What an honest Consul answers: status and JSON."""
        given = question.headers.get("x-consul-token", "")
        if self.token is not None and given != self.token:
            return 403, "ACL not found"
        key = unquote(question.path.removeprefix("/v1/kv/"))
        if key == question.path:
            return 404, "the model knows keys and values only"
        match question.method:
            case "PUT":
                return 200, self._put(key, question)
            case "DELETE":
                with self._changed:
                    self._kv.pop(key, None)
                return 200, True
            case _:
                self._wait(key, question.params)
                return self._get(key, question.params)

    @property
    def index(self) -> int:
        return self._index

    def _put(self, key: str, question: Question) -> bool:
        with self._changed:
            now = self._kv[key][1] if key in self._kv else 0
            if "cas" in question.params and int(question.params["cas"]) != now:
                return False
        self.put(key, question.body)
        return True

    def _wait(self, key: str, params: Mapping[str, str]) -> None:
        index = int(params.get("index", "0"))
        if self.never_waits or not index:
            return
        wait = float(params["wait"].removesuffix("ms")) / 1000
        with self._changed:
            if self._index_of(key) <= index:
                self._changed.wait(min(wait, _LONGEST_S))

    def _index_of(self, key: str) -> int:
        return max((at for name, (_, at) in self._kv.items() if name.startswith(key)), default=1)

    def _get(self, key: str, params: Mapping[str, str]) -> tuple[int, Any]:
        with self._changed:
            if "recurse" in params:
                found = {name: kv for name, kv in self._kv.items() if name.startswith(key)}
            else:
                found = {key: self._kv[key]} if key in self._kv else {}
        if not found:
            return 404, ""
        return 200, [entry(name, value, at) for name, (value, at) in sorted(found.items())]


def entry(key: str, value: bytes, index: int) -> dict[str, Any]:
    """A key as Consul writes it."""
    return {
        "LockIndex": 0,
        "Key": key,
        "Flags": 0,
        "Value": base64.b64encode(value).decode() or None,
        "CreateIndex": index,
        "ModifyIndex": index,
    }


def status(code: int, text: str) -> Trouble:
    """Answer with an error, as Consul words it."""
    return raw(text.encode(), code=code, headers={"content-type": "text/plain"})


def raw(body: bytes, *, code: int = 200, headers: Mapping[str, str] | None = None) -> Trouble:
    """Answer with these very bytes."""
    given = {"content-length": str(len(body)), "x-consul-index": "7", "connection": "close"}
    given |= headers or {}
    lines = [f"HTTP/1.1 {code} Said", *(f"{name}: {value}" for name, value in given.items())]
    whole = "\r\n".join([*lines, "", ""]).encode() + body
    return lambda connection: connection.sendall(whole)


def cut_off(body: bytes) -> Trouble:
    """Promise more than there is, and hang up."""
    return raw(body, headers={"content-length": str(len(body) + 100)})


def slow(body: bytes, *, pause: float = 1.0, of_headers: bool = False) -> Trouble:
    """Send one byte after another."""
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nx-consul-index: 7\r\n\r\n"

    def act(connection: socket.socket) -> None:
        whole = head.encode() + body
        at_once = 0 if of_headers else len(head)
        connection.sendall(whole[:at_once])
        for number in range(at_once, len(whole)):
            connection.sendall(whole[number : number + 1])
            time.sleep(pause)

    return act


def endless(size: int, sent: list[int], *, chunked: bool = False) -> Trouble:
    """Send so many bytes; ``sent`` tells how many were taken."""
    piece = b" " * (1 << 20)
    length = "transfer-encoding: chunked" if chunked else f"content-length: {size}"

    def act(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
        sent.append(0)
        while sent[-1] < size:
            framed = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
            connection.sendall(framed)
            sent[-1] += len(piece)

    return act


def reset(connection: socket.socket) -> None:
    """Break the connection off."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang_up(_connection: socket.socket) -> None:
    """Close the connection without a word."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about who hangs up."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: ModelConsul

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, inherited
        """Keep quiet."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        question = Question(
            method=self.command,
            path=parts.path,
            params=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("content-length", "0"))),
            at=time.monotonic(),
            connection=self.client_address[1],
        )
        self.owner.questions.append(question)
        trouble = self.owner.troubles.popleft() if self.owner.troubles else self.owner.always
        with contextlib.suppress(OSError):
            if trouble is not None:
                self.close_connection = True
                trouble(self.connection)
                return
            code, value = self.owner.answer(question)
            self._say(code, json.dumps(value).encode() if code == 200 else str(value).encode())

    def _say(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-consul-index", str(self.owner.shown_index(self.owner.index)))
        self.send_header("x-consul-lastcontact", str(self.owner.last_contact_ms))
        self.send_header("x-consul-knownleader", "true")
        self.end_headers()
        self.wfile.write(body)
