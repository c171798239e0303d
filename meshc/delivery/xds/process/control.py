"""Status and metrics of a running server over HTTP, on a Unix socket or a loopback address."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from meshc.delivery.xds.process.metrics import metrics
from meshc.delivery.xds.process.status import describe, overview
from meshc.delivery.xds.transport.accepting import close
from meshc.delivery.xds.transport.listening import listening

if TYPE_CHECKING:
    from meshc.delivery.xds.process.run import Serving
    from meshc.delivery.xds.transport.addresses import Address

LIMIT_S = 5.0
"""How long one question may take."""
_MAX_REQUEST = 8 * 1024
_MOST_ASKING = 32
"""At once; more would take descriptors from clients."""
_OK, _UNWELL = "200 OK", "503 Service Unavailable"
_TEXT, _JSON = "text/plain", "application/json"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Pages(Protocol):
    """What is to be said, of one server or of several."""

    async def status(self) -> dict[str, Any]:
        """Return everything, streams included."""

    async def overviews(self) -> dict[str, dict[str, Any]]:
        """Return what is counted, by worker."""

    def trouble(self) -> str:
        """Say why nobody should come here, "" where all is well."""


class ServerPages:
    """What a server says of itself."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def status(self) -> dict[str, Any]:
        """Return everything, streams included."""
        return describe(self._serving)

    async def overviews(self) -> dict[str, dict[str, Any]]:
        """Return what is counted; the server has no name."""
        return {"": overview(self._serving)}

    def trouble(self) -> str:
        """Say that there is nothing to serve, "" where there is."""
        return "no bundle is loaded" if self._serving.bundles is None else ""


async def serve_control(pages: Pages, address: Address) -> asyncio.Server:
    """Answer ``GET /status``, /overview, /metrics and /healthz; raises DeliveryError."""
    asking: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.wait_for(_answer(pages, reader, writer), LIMIT_S)
        await close(writer, LIMIT_S)

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(asking) == _MOST_ASKING:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(answer(reader, writer))
        asking.add(task)
        task.add_done_callback(asking.discard)

    sock = listening(address, is_shared=False)
    return await asyncio.start_server(begin, sock=sock, limit=_MAX_REQUEST)


async def _answer(pages: Pages, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method == b"GET":
        status, kind, body = await _page(pages, path)
    else:
        status, kind, body = "405 Method Not Allowed", _TEXT, "GET only"
    data = body.encode() + b"\n"
    head_lines = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    writer.write(head_lines.encode() + data)
    await writer.drain()


async def _page(pages: Pages, path: bytes) -> tuple[str, str, str]:
    match path:
        case b"/status":
            return _OK, _JSON, json.dumps(await pages.status())
        case b"/overview":
            return _OK, _JSON, json.dumps(await pages.overviews())
        case b"/metrics":
            return _OK, _METRICS, "\n".join(metrics(await pages.overviews()))
        case b"/healthz":
            trouble = pages.trouble()
            return (_UNWELL if trouble else _OK), _TEXT, trouble or "serving"
    return "404 Not Found", _TEXT, "not found"
