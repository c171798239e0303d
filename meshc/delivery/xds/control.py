"""Status and metrics of a running server over HTTP, on a Unix socket or a loopback address."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

from meshc.delivery.errors import DeliveryError
from meshc.delivery.xds.listening import listening
from meshc.delivery.xds.metrics import metrics
from meshc.delivery.xds.status import describe, overview

if TYPE_CHECKING:
    from meshc.delivery.xds.run import Serving
    from meshc.delivery.xds.settings import Address

_LIMIT_S = 5.0
_MAX_REQUEST = 8 * 1024
_MAX_ANSWER = 64 * 1024 * 1024


async def serve_control(serving: Serving, address: Address) -> asyncio.Server:
    """Answer ``GET /status``, ``/metrics`` and ``/healthz``; raises DeliveryError."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            await asyncio.wait_for(_answer(serving, reader, writer), _LIMIT_S)
        writer.close()

    sock = listening(address, is_shared=False)
    return await asyncio.start_server(answer, sock=sock, limit=_MAX_REQUEST)


async def _answer(
    serving: Serving, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    status, kind, body = "404 Not Found", "text/plain", b"not found\n"
    if method != b"GET":
        status, body = "405 Method Not Allowed", b"GET only\n"
    elif path == b"/status":
        status, kind = "200 OK", "application/json"
        body = json.dumps(describe(serving)).encode() + b"\n"
    elif path == b"/metrics":
        status, kind = "200 OK", "text/plain; version=0.0.4; charset=utf-8"
        body = ("\n".join(metrics({"": overview(serving)})) + "\n").encode()
    elif path == b"/healthz":
        is_up = serving.bundles is not None
        status = "200 OK" if is_up else "503 Service Unavailable"
        body = b"serving\n" if is_up else b"no bundle is loaded\n"
    head_lines = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    writer.write(head_lines.encode() + body)
    await writer.drain()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask_status(address: Address) -> dict[str, Any]:
    """Ask a running server how it is.

    Raises:
        DeliveryError: none runs there, or it says something else.
    """
    connection: http.client.HTTPConnection
    if address.port is None:
        connection = _UnixConnection(address.host)
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=_LIMIT_S)
    try:
        connection.request("GET", "/status")
        found = json.loads(connection.getresponse().read(_MAX_ANSWER))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DeliveryError(
            f"no server answers at {address}: {getattr(error, 'strerror', None) or error}",
            hint="is meshc serve running, with the same --control?",
        ) from error
    finally:
        connection.close()
    return dict(found)
