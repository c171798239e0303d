"""A client on h2, which minds windows and frames in both directions."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, TrailersReceived

from meshc.delivery.xds.protocol.types import ENDPOINT
from tests.delivery.xds.served import ADS, until
from tests.delivery.xds.streams import message_class

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Client:
    """One connection, whose windows open when it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._body = bytearray()
        self.received = 0
        """Bytes of bodies so far."""
        self.sizes: list[int] = []
        """Of frames with data."""
        self.ended: dict[int, int] = {}
        """Streams that the server has ended → gRPC's status."""
        self._h2.initiate_connection()
        self._flush()

    def open_stream(self, stream: int) -> None:
        """Begin a stream of state of the world."""
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":authority": "test",
            ":path": f"/{ADS}/StreamAggregatedResources",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        self._h2.send_headers(stream, headers.items())
        self._flush()

    def ask(
        self, *, node: str = "front1", stream: int = 1, more: bytes = b"", **fields: Any
    ) -> int:
        """Ask for the endpoints of `app`; return how many bytes that was."""
        fields.setdefault("resource_names", ["app"])
        message = message_class("DiscoveryRequest")(type_url=ENDPOINT, **fields)
        message.node.id = node
        request = message.SerializeToString()
        data = bytes(1) + len(request).to_bytes(4, "big") + request + more
        self._h2.send_data(stream, data)
        self._flush()
        return len(data)

    def end(self, stream: int = 1, *, trailers: tuple[tuple[str, str], ...] = ()) -> None:
        """Say that no more comes."""
        if trailers:
            self._h2.send_headers(stream, trailers, end_stream=True)
        else:
            self._h2.end_stream(stream)
        self._flush()

    def room(self, stream: int = 1) -> int:
        """Return how many more bytes the server lets come."""
        return self._h2.local_flow_control_window(stream)

    def open_window(self, size: int, *streams: int | None) -> None:
        """Let so many more bytes come; None is the connection."""
        for stream in streams:
            self._h2.increment_flow_control_window(size, stream)
        self._flush()

    async def read(self) -> None:
        """Take in what comes, for ever."""
        while data := await self._reader.read(2**16):
            for event in self._h2.receive_data(data):
                if isinstance(event, DataReceived):
                    self._body += event.data
                    self.received += len(event.data)
                    self.sizes.append(len(event.data))
                elif isinstance(event, ResponseReceived | TrailersReceived):
                    status = dict(event.headers or ()).get("grpc-status")  # type: ignore[call-overload]
                    if status is not None and event.stream_id is not None:
                        self.ended[event.stream_id] = int(status)
            self._flush()

    async def answer(self) -> Any:
        """Wait for a response on the only stream, acknowledge it and return it."""
        await until(lambda: len(self._body) >= 5 + int.from_bytes(self._body[1:5], "big") > 5)
        size = int.from_bytes(self._body[1:5], "big")
        found = message_class("DiscoveryResponse").FromString(bytes(self._body[5 : 5 + size]))
        del self._body[: 5 + size]
        self.ask(version_info=found.version_info, response_nonce=found.nonce)
        return found

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())


@contextlib.asynccontextmanager
async def client_of(port: int) -> AsyncIterator[Client]:
    """Connect as long as the block runs; a server that breaks the protocol ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Client(reader, writer)
    reading = asyncio.create_task(client.read())
    try:
        yield client
        if reading.done():
            reading.result()
    finally:
        reading.cancel()
        writer.close()
