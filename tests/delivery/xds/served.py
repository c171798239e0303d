"""A server in this process, and clients that are not ours: grpcio and real Envoys."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import shutil
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from meshc.delivery.xds.content.library import Library
from meshc.delivery.xds.content.source import DirectorySource
from meshc.delivery.xds.process.run import Serving
from meshc.delivery.xds.settings import ServeSettings
from meshc.delivery.xds.transport.addresses import address
from meshc.delivery.xds.transport.limits import Limits
from meshc.proto import load_schema
from tests.delivery.xds.streams import message_class

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from meshc.delivery.xds.transport.tls import TlsFiles

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
SECONDS = 10.0
SILENCE_S = 0.3
"""How long nothing has to come before a test believes that nothing comes."""


async def until(is_met: Callable[[], bool]) -> None:
    """Wait until something is so."""
    limit = time.monotonic() + SECONDS
    while not is_met():
        assert time.monotonic() < limit, "not in time"
        await asyncio.sleep(0.01)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def polled(
    port: int, path: str, body: bytes | dict[str, Any], method: str = "POST"
) -> tuple[int, Any]:
    """Poll over REST; returns the status and what came, as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        text = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, path, text, {"content-type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if data else None
    finally:
        connection.close()


@dataclass
class Server:
    """A running server and the folder that it serves."""

    serving: Serving
    folder: Path
    port: int

    async def put(self, folder: Path) -> None:
        """Serve another bundle."""
        shutil.rmtree(self.folder)
        shutil.copytree(folder, self.folder)
        assert await self.serving.refresh()


class _Unwatched(DirectorySource):
    """A folder that is looked at when a test says so, and not before."""

    def watch(self, notify: Callable[[], None]) -> None:
        """Hear of nothing."""


@contextlib.asynccontextmanager
async def served(
    folder: Path, *, tls: TlsFiles | None = None, limits: Limits | None = None, **settings: Any
) -> AsyncIterator[Server]:
    """Serve a bundle as long as the block runs."""
    port = settings.pop("port", None) or free_port()
    serving = Serving(
        ServeSettings(
            source=str(folder),
            listen=address(f"127.0.0.1:{port}"),
            tls=tls,
            poll=settings.pop("poll", 3600.0),
            limits=limits or Limits(),
            **settings,
        ),
        _Unwatched(folder, Library(load_schema("1.40.0"))),
    )
    await serving.start()
    try:
        yield Server(serving, folder, port)
    finally:
        await serving.stop()


class Call:
    """One stream of a grpcio client."""

    def __init__(self, call: Any, node: str, *, is_delta: bool) -> None:
        self._call = call
        self._node: str | None = node
        self._reading: asyncio.Future[Any] | None = None
        self._kind = message_class("DeltaDiscoveryRequest" if is_delta else "DiscoveryRequest")

    async def ask(self, type_url: str, **fields: Any) -> None:
        """Send a request; the node goes with the first one."""
        error = fields.pop("error", None)
        request = self._kind(type_url=type_url, **fields)
        if self._node is not None:
            request.node.id, self._node = self._node, None
        if error is not None:
            request.error_detail.message = error
        await self._call.write(request)

    async def answer(self) -> Any:
        """Return the next response."""
        reading, self._reading = self._next(), None
        found = await asyncio.wait_for(reading, SECONDS)
        assert found is not grpc.aio.EOF, await self.status()
        return found

    async def has_silence(self) -> bool:
        """Whether nothing comes for a while."""
        done, _ = await asyncio.wait({self._next()}, timeout=SILENCE_S)
        return not done

    def _next(self) -> asyncio.Future[Any]:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        return self._reading

    async def acknowledge(self, response: Any, **fields: Any) -> None:
        """Accept a response."""
        if hasattr(response, "version_info"):
            fields.setdefault("version_info", response.version_info)
        await self.ask(response.type_url, response_nonce=response.nonce, **fields)

    async def status(self) -> tuple[grpc.StatusCode, str]:
        """Wait for the end of the call."""
        code = await asyncio.wait_for(self._call.code(), SECONDS)
        return code, await self._call.details()

    def cancel(self) -> None:
        """End the call from this side."""
        if self._reading is not None:
            self._reading.cancel()
        self._call.cancel()


@dataclass
class Caller:
    """A grpcio channel."""

    channel: grpc.aio.Channel

    def stream(
        self, node: str, *, is_delta: bool = False, method: str = f"{ADS}/AggregatedResources"
    ) -> Call:
        """Open a stream; ``method`` without Stream or Delta."""
        service, _, noun = method.partition("/")
        prefix, kind = (
            ("Delta", "DeltaDiscoveryResponse") if is_delta else ("Stream", "DiscoveryResponse")
        )
        call: Any = self.channel.stream_stream(
            f"/{service}/{prefix}{noun}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_class(kind).FromString,
        )()
        return Call(call, node, is_delta=is_delta)


@contextlib.asynccontextmanager
async def caller(
    port: int,
    credentials: grpc.ChannelCredentials | None = None,
    options: Mapping[str, Any] | None = None,
) -> AsyncIterator[Caller]:
    """Connect with grpcio."""
    target = f"127.0.0.1:{port}"
    pairs = list((options or {}).items())
    if credentials is None:
        channel = grpc.aio.insecure_channel(target, options=pairs)
    else:
        channel = grpc.aio.secure_channel(target, credentials, options=pairs)
    try:
        yield Caller(channel)
    finally:
        await channel.close()
