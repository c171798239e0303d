"""Settings of HTTP/2: those that clients change count, and those that they make up are few."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import pytest
from h2.settings import SettingCodes

from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import Server, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

_SECONDS = 10.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = 9
_SETTINGS, _ACKNOWLEDGED = 4, 1
_MADE_UP = 0x4000


class _Peer:
    """A connection whose frames are made by hand: h2 has eight bits for numbers of settings."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        writer.write(_PREFACE)

    async def send(self, settings: Mapping[int, int]) -> None:
        body = b"".join(struct.pack(">HI", *one) for one in settings.items())
        self._writer.write(struct.pack(">IBI", len(body) << 8 | _SETTINGS, 0, 0) + body)
        await self._writer.drain()

    async def acknowledged(self, count: int) -> bool:
        """Wait until so many frames are acknowledged; False where the connection ends before."""
        while count:
            try:
                head = await asyncio.wait_for(self._reader.readexactly(_HEAD), _SECONDS)
                await self._reader.readexactly(int.from_bytes(head[:3], "big"))
            except (asyncio.IncompleteReadError, ConnectionError):
                return False
            count -= head[3:5] == bytes((_SETTINGS, _ACKNOWLEDGED))
        return True


def _play(folder: Path, scene: Callable[[Server, _Peer], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served(make_bundle(folder)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                await scene(server, _Peer(reader, writer))
            finally:
                writer.close()

    asyncio.run(run())


def test_what_a_client_changes_again_and_again_counts_in_the_end(tmp_path: Path) -> None:
    async def scene(server: Server, peer: _Peer) -> None:
        for number in range(5):
            await peer.send({SettingCodes.INITIAL_WINDOW_SIZE: 100_000 + number})
        assert await peer.acknowledged(5)

        [connection] = server.serving.server.connections.open
        remote = connection.connection._connection.remote_settings
        assert remote.initial_window_size == 100_004

    _play(tmp_path, scene)


@pytest.mark.parametrize(("count", "is_kept"), [(30, True), (100, False)])
def test_a_client_cannot_make_up_settings_without_end(
    tmp_path: Path, count: int, *, is_kept: bool
) -> None:
    async def scene(server: Server, peer: _Peer) -> None:
        await peer.send({_MADE_UP + number: 1 for number in range(count)})

        assert await peer.acknowledged(1) is is_kept
        assert server.serving.server.connections.turned_away == int(not is_kept)

    _play(tmp_path, scene)
