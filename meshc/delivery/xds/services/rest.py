"""REST polling: ``POST /v3/discovery:clusters`` and the like, for clients without gRPC.

A body is a `DiscoveryRequest` in JSON, an answer a `DiscoveryResponse`; 304 where the client has
the version already.  Nothing is ordered here: each type is asked for by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from asyncio import LimitOverrunError
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import Peer

from meshc.delivery.xds.protocol.types import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    ROUTE,
    RUNTIME,
    SECRET,
    TypeUrl,
)
from meshc.delivery.xds.transport.accepting import Acceptor, close
from meshc.delivery.xds.transport.limits import Account
from meshc.delivery.xds.transport.strangers import MOST_SHOWN
from meshc.diagnostics.errors import MeshcError, UnknownNameError

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Mapping

    from meshc.delivery.xds.services.discovery import Gate
    from meshc.delivery.xds.services.hub import Hub
    from meshc.delivery.xds.transport.accepting import Place, Room
    from meshc.delivery.xds.transport.limits import Limits

_PATHS: Mapping[str, TypeUrl] = {
    "/v3/discovery:clusters": CLUSTER,
    "/v3/discovery:endpoints": ENDPOINT,
    "/v3/discovery:listeners": LISTENER,
    "/v3/discovery:routes": ROUTE,
    "/v3/discovery:secrets": SECRET,
    "/v3/discovery:runtime": RUNTIME,
    "/v3/discovery:extension_configs": EXTENSION,
}
_REASONS = {
    200: "OK",
    304: "Not Modified",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    503: "Service Unavailable",
}
_LENGTH = re.compile("[0-9]{1,10}")
_READ_S = 5.0


class _RefusedError(Exception):
    def __init__(self, status: int, text: str, *, denied: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.denied = denied
        """The node that the client may not have."""


class Rest:
    """Answers polls from the same bundle as the streams."""

    def __init__(self, hub: Hub, gate: Gate, limits: Limits, room: Room) -> None:
        self._hub = hub
        self._gate = gate
        self._limits = limits
        self._room = room
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, sock: socket.socket, context: ssl.SSLContext | None) -> Acceptor:
        """Accept on a socket."""
        return Acceptor(sock, self._room, self._protocol, context, self._limits.handshake)

    def _protocol(self, place: Place) -> asyncio.StreamReaderProtocol:
        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: place.leave())

        return asyncio.StreamReaderProtocol(
            asyncio.StreamReader(limit=self._limits.metadata), begin
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests as long as they come in time; who asks without pause has to wait."""
        account = Account(self._limits, self._room.memory)
        ends_at = time.monotonic() + self._limits.age
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, LimitOverrunError):
                begun = b""
                while size := await self._exchange(begun, reader, writer):
                    await asyncio.sleep(account.charge(size))
                    if time.monotonic() > ends_at:
                        break
                    begun = await asyncio.wait_for(reader.readexactly(1), self._limits.idle)
        finally:
            await close(writer, _READ_S)

    async def _exchange(
        self, begun: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> int:
        """Answer one request; return what it cost in bytes, 0 where no other may follow."""
        async with asyncio.timeout(self._limits.first_request):
            head = begun + await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        data, body, status = b"", b"", 200
        peer = Peer(writer.transport)  # type: ignore[arg-type]
        try:
            data = await self._body(reader, headers)
            bundles = self._hub.bundles
            if bundles is not None and bundles.is_remote:
                body = await asyncio.to_thread(self._answer, lines[0], data, peer)
            else:
                body = self._answer(lines[0], data, peer)
            status = 200 if body else 304
        except _RefusedError as refused:
            status = refused.status
            if refused.denied is not None:
                self._hub.strangers.add(refused.denied, peer.addr(), str(refused))
            body = json.dumps({"error": str(refused)}).encode()
        is_kept = headers.get("connection") != "close" and status in {200, 304}
        writer.write(
            (
                f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n"
                f"connection: {'keep-alive' if is_kept else 'close'}\r\n\r\n"
            ).encode()
            + body
        )
        await asyncio.wait_for(writer.drain(), self._limits.taken)
        return len(head) + len(data) + len(body) if is_kept else 0

    async def _body(self, reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not _LENGTH.fullmatch(length):
            raise _RefusedError(400, "a body needs a content-length")
        if int(length) > self._limits.json:
            raise _RefusedError(413, f"a request of more than {self._limits.json} bytes")
        return await asyncio.wait_for(reader.readexactly(int(length)), self._limits.first_request)

    def _answer(self, line: str, data: bytes, peer: Any) -> bytes:
        """Return a response's JSON, nothing where the client has it already."""
        method, _, rest = line.partition(" ")
        type_url = _PATHS.get(rest.rpartition(" ")[0])
        if type_url is None:
            raise _RefusedError(404, "there is no such resource type")
        if method != "POST":
            raise _RefusedError(405, "POST a DiscoveryRequest")
        node, names, version = _read(data)
        try:
            self._gate.check(peer, node)
        except GRPCError as error:
            is_known = error.status in {Status.PERMISSION_DENIED, Status.UNAUTHENTICATED}
            status = 403 if is_known else 400
            raise _RefusedError(status, str(error.message), denied=node) from error
        if self._hub.bundles is None:
            raise _RefusedError(503, "no bundle is loaded yet")
        try:
            found, resources = self._hub.bundles.documents(node, type_url, names, version)
        except UnknownNameError as error:
            raise _RefusedError(404, error.message[:MOST_SHOWN], denied=node) from error
        except MeshcError as error:
            raise _RefusedError(503, error.message) from error
        if found == version:
            return b""
        answer = {"version_info": found, "type_url": type_url, "resources": resources}
        return json.dumps(answer).encode()


def _read(data: bytes) -> tuple[str, frozenset[str], str]:
    try:
        request = json.loads(data)
        node = request["node"]["id"]
        names = request.get("resource_names") or request.get("resourceNames") or []
        version = request.get("version_info") or request.get("versionInfo") or ""
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise _RefusedError(400, "the body is no DiscoveryRequest with a node") from error
    texts = [node, version, *(names if isinstance(names, list) else [None])]
    if not node or not all(isinstance(one, str) for one in texts):
        raise _RefusedError(400, "the body is no DiscoveryRequest with a node")
    return node, frozenset(names), version
