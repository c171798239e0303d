"""What goes out keeps to the client's windows and frames; h2, as the client, minds."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamReset

from meshc.delivery.xds.types import ENDPOINT
from meshc.proto import load_schema
from tests.delivery.xds.meshes import FRONT, STORE, make_bundle
from tests.delivery.xds.served import ADS, Server, served, until
from tests.delivery.xds.streams import message_class

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_HOSTS = 600
_WINDOW = 65_535
"""HTTP/2's own: room for three responses."""
_STEP = 1_000


class _Client:
    """One stream of a client that opens its window when it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._body = bytearray()
        self.received = 0
        """Bytes of the body so far."""
        self.sizes: list[int] = []
        """Of frames with data."""
        self._h2.initiate_connection()
        self._h2.send_headers(
            1,
            {
                ":method": "POST",
                ":scheme": "http",
                ":authority": "test",
                ":path": f"/{ADS}/StreamAggregatedResources",
                "te": "trailers",
                "content-type": "application/grpc",
            }.items(),
        )
        self._flush()

    def ask(self, **fields: Any) -> None:
        """Send a request."""
        message = message_class("DiscoveryRequest")(
            type_url=ENDPOINT, resource_names=["app"], **fields
        )
        message.node.id = "front1"
        data = message.SerializeToString()
        self._h2.send_data(1, bytes(1) + len(data).to_bytes(4, "big") + data)
        self._flush()

    def open_window(self, size: int, *streams: int | None) -> None:
        """Let so many more bytes come; None is the connection."""
        for stream in streams:
            self._h2.increment_flow_control_window(size, stream)
        self._flush()

    async def read(self) -> None:
        """Take in what comes for ever."""
        while data := await self._reader.read(2**16):
            for event in self._h2.receive_data(data):
                assert not isinstance(event, StreamReset), event
                if isinstance(event, DataReceived):
                    self._body += event.data
                    self.received += len(event.data)
                    self.sizes.append(len(event.data))
            self._flush()

    async def answer(self) -> Any:
        """Wait for a response, acknowledge it and return it."""
        await until(lambda: len(self._body) >= 5 + int.from_bytes(self._body[1:5], "big") > 5)
        size = int.from_bytes(self._body[1:5], "big")
        found = message_class("DiscoveryResponse").FromString(bytes(self._body[5 : 5 + size]))
        del self._body[: 5 + size]
        self.ask(version_info=found.version_info, response_nonce=found.nonce)
        return found

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())


@contextlib.asynccontextmanager
async def _client(port: int) -> AsyncIterator[_Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = _Client(reader, writer)
    reading = asyncio.create_task(client.read())
    try:
        yield client
        if reading.done():
            reading.result()
    finally:
        reading.cancel()
        writer.close()


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bundles of which the second has one host less."""
    found = []
    for hosts in (_HOSTS, _HOSTS - 1):
        app = {
            "protocol": "HTTP",
            "hosts": [
                {
                    "name": f"app{number}",
                    "ingressAddr": {"host": f"10.1.{number // 250}.{number % 250}", "port": 8000},
                    "substanceAddr": {"host": "127.0.0.1", "port": 9000},
                }
                for number in range(hosts)
            ],
        }
        documents = {"front": FRONT, "app": json.dumps(app), "store": STORE}
        found.append(make_bundle(tmp_path_factory.mktemp("mesh"), documents))
    return found


@pytest.mark.parametrize("ample", [None, 1], ids=["connection", "stream"])
def test_windows_and_frames_are_kept(
    bundles: list[Path], tmp_path: Path, ample: int | None
) -> None:
    folder = tmp_path / "served"
    folder.symlink_to(bundles[0])

    client, responses = asyncio.run(_talk(bundles, folder, ample))

    assert [_hosts(one) for one in responses] == [_HOSTS, _HOSTS - 1] * 3
    assert [one.nonce for one in responses] == list("123456")
    assert max(client.sizes) == 2**14


async def _talk(bundles: list[Path], folder: Path, ample: int | None) -> tuple[_Client, list[Any]]:
    """Have six responses; for the fourth, all windows but that which is ample have no room."""
    async with served(folder) as server, _client(server.port) as client:
        client.open_window(10 * _WINDOW, ample)
        client.ask()
        responses = [await client.answer()]
        for number in (1, 2, 3):
            await _put(server, bundles[number % 2])
            if number < 3:
                responses.append(await client.answer())

        await until(lambda: client.received == _WINDOW)
        before = len(client.sizes)
        client.open_window(_STEP, None, 1)
        await until(lambda: client.received == _WINDOW + _STEP)
        assert sum(client.sizes[before:]) == _STEP
        client.open_window(_WINDOW, None, 1)
        responses.append(await client.answer())
        for number in (4, 5):
            client.open_window(_WINDOW, None, 1)
            await _put(server, bundles[number % 2])
            responses.append(await client.answer())
    return client, responses


async def _put(server: Server, bundle: Path) -> None:
    """Serve another bundle, once the client's last answer was read."""
    [stream] = server.serving.hub
    await until(lambda: stream.state.is_settled)
    server.folder.unlink()
    server.folder.symlink_to(bundle)
    assert await server.serving.refresh()


def _hosts(response: Any) -> int:
    [resource] = response.resources
    pool = load_schema("1.40.0").pool
    kind: Any = GetMessageClass(pool.FindMessageTypeByName(ENDPOINT.rpartition("/")[2]))
    return sum(len(locality.lb_endpoints) for locality in kind.FromString(resource.value).endpoints)
