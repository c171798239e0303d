"""Settings of HTTP/2: those that clients change count, and those that they make up are few."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import pytest
from h2.settings import SettingCodes

from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.raw import ACK, SETTINGS, Raw, frame, raw
from tests.delivery.xds.served import Server, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_MADE_UP = 0x4000


def _play(folder: Path, scene: Callable[[Server, Raw], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served(make_bundle(folder)) as server, raw(server.port) as peer:
            await peer.begin()
            assert await peer.until(SETTINGS, ACK)
            await scene(server, peer)

    asyncio.run(run())


def _settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *one) for one in pairs))


def test_what_a_client_changes_again_and_again_counts_in_the_end(tmp_path: Path) -> None:
    async def scene(server: Server, peer: Raw) -> None:
        for number in range(5):
            await peer.send(_settings((SettingCodes.INITIAL_WINDOW_SIZE, 100_000 + number)))
        assert await peer.until(SETTINGS, ACK, count=5)

        [connection] = server.serving.server.connections.open
        remote = connection.connection._connection.remote_settings
        assert remote.initial_window_size == 100_004

    _play(tmp_path, scene)


@pytest.mark.parametrize(("count", "is_kept"), [(30, True), (100, False)])
def test_a_client_cannot_make_up_settings_without_end(
    tmp_path: Path, count: int, *, is_kept: bool
) -> None:
    async def scene(server: Server, peer: Raw) -> None:
        await peer.send(_settings(*((_MADE_UP + number, 1) for number in range(count))))

        assert await peer.until(SETTINGS, ACK) is is_kept
        assert server.serving.server.connections.turned_away == int(not is_kept)

    _play(tmp_path, scene)
