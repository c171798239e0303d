"""What was read is given back to the windows, so that a client may go on asking."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import grpc
import pytest

from meshc.delivery.xds.transport.limits import Limits
from tests.delivery.xds.h2_client import Client, client_of
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import served, until

if TYPE_CHECKING:
    from pathlib import Path

_WINDOW = 256 * 1024
"""Of a connection; that of a stream is smaller."""
_NAMES = [f"name-{number:04}" for number in range(1_000)]


def test_a_stream_may_ask_for_ever(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(make_bundle(tmp_path)) as server, client_of(server.port) as client:
            client.open_stream(1)
            sent = 0
            while sent < 2 * _WINDOW:
                await until(lambda: client.room() > 12_000)
                sent += client.ask(resource_names=_NAMES)

    asyncio.run(run())


async def _refused(client: Client, streams: range) -> int:
    """Open streams for a node that is unknown; return how many bytes were sent."""
    sent = 0
    for stream in streams:
        client.open_stream(stream)
        await until(functools.partial(_has_room, client, stream))
        # So little that it is not given back at once.
        sent += client.ask(node="nobody" * 70, stream=stream)
    await until(lambda: client.ended.keys() >= set(streams))
    return sent


def _has_room(client: Client, stream: int) -> bool:
    return client.room(stream) > 500


def test_streams_that_end_owe_nothing_to_their_connection(tmp_path: Path) -> None:
    async def run() -> None:
        limits = Limits(frames_a_second=1_000)
        async with (
            served(make_bundle(tmp_path), limits=limits) as server,
            client_of(server.port) as client,
        ):
            sent = 0
            for first in range(1, 1_200, 200):
                sent += await _refused(client, range(first, first + 200, 2))
            assert sent > _WINDOW
            assert set(client.ended.values()) == {grpc.StatusCode.NOT_FOUND.value[0]}

    asyncio.run(run())


@pytest.mark.parametrize("trailers", [(), (("x-end", "yes"),)], ids=["plain", "trailers"])
def test_a_client_may_end_its_stream(tmp_path: Path, trailers: tuple[tuple[str, str], ...]) -> None:
    async def run() -> None:
        async with served(make_bundle(tmp_path)) as server, client_of(server.port) as client:
            client.open_stream(1)
            client.ask()
            client.end(trailers=trailers)
            await until(lambda: 1 in client.ended)
            assert client.ended[1] == grpc.StatusCode.OK.value[0]
            assert len(server.serving.hub) == 0

    asyncio.run(run())


def test_a_stream_that_ends_within_a_request_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(make_bundle(tmp_path)) as server, client_of(server.port) as client:
            client.open_stream(1)
            client.ask(more=b"\0\0")
            client.end()
            await until(lambda: 1 in client.ended)
            assert client.ended[1] == grpc.StatusCode.INVALID_ARGUMENT.value[0]

    asyncio.run(run())
