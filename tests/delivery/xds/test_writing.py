"""What goes out keeps to the client's windows and frames; h2, as the client, minds."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from meshc.delivery.xds.protocol.types import ENDPOINT
from meshc.proto import load_schema
from tests.delivery.xds.h2_client import Client, client_of
from tests.delivery.xds.meshes import FRONT, STORE, make_bundle
from tests.delivery.xds.served import Server, served, until

if TYPE_CHECKING:
    from pathlib import Path

_HOSTS = 600
_WINDOW = 65_535
"""HTTP/2's own: room for three responses."""
_STEP = 1_000


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


async def _talk(bundles: list[Path], folder: Path, ample: int | None) -> tuple[Client, list[Any]]:
    """Have six responses; for the fourth, all windows but that which is ample have no room."""
    async with served(folder) as server, client_of(server.port) as client:
        client.open_stream(1)
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
