"""What a hostile client can do to a server, and that nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

import grpc
import pytest

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from meshc.delivery.xds.transport.limits import Limits
from tests.delivery.xds import raw as wire
from tests.delivery.xds.floods import FLOODS, opened
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.raw import Raw, raw
from tests.delivery.xds.served import Server, caller, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_SECONDS = 10.0
_SHORT = Limits(first_request=0.5)
_MANY = 2_000


def _play(
    folder: Path, scene: Callable[[Server], Awaitable[None]], limits: Limits | None = None
) -> None:
    async def run() -> None:
        async with served(make_bundle(folder), limits=limits) as server:
            await scene(server)

    asyncio.run(run())


async def _is_served(server: Server) -> bool:
    """Whether somebody else gets an answer within the time of a test."""
    async with caller(server.port) as client:
        call = client.stream("front1")
        await call.ask(CLUSTER)
        found = await call.answer()
        call.cancel()
        return bool(found.resources)


async def _is_alone(server: Server) -> bool:
    """Whether nothing is left of anybody."""
    for _ in range(100):
        if not server.serving.server.connections.open:
            return True
        await asyncio.sleep(0.05)
    return False


# --- connections on which nothing comes, or not enough ----------------------------------------

_SLOW = {
    "nothing": (b"", b""),
    "a byte of the preface now and then": (b"", wire.PREFACE),
    "a preface and settings alone": (wire.PREFACE + wire.frame(wire.SETTINGS), b""),
    "a head of a request now and then": (
        wire.PREFACE + wire.frame(wire.SETTINGS),
        wire.headers(1),
    ),
}


@pytest.mark.parametrize("kind", _SLOW)
def test_who_does_not_ask_is_cut_and_others_are_served(tmp_path: Path, kind: str) -> None:
    at_once, slowly = _SLOW[kind]

    async def attack(server: Server) -> bool:
        async with raw(server.port) as peer:
            await peer.send(at_once)
            for number in range(min(len(slowly), 20)):
                if not await peer.send(slowly[number : number + 1]):
                    return True
                await asyncio.sleep(0.05)
            return await peer.is_ended()

    async def scene(server: Server) -> None:
        attacks = [asyncio.create_task(attack(server)) for _ in range(100)]
        await asyncio.sleep(0.1)
        assert await _is_served(server)
        assert all(await asyncio.gather(*attacks))
        assert await _is_alone(server)

    _play(tmp_path, scene, _SHORT)


@pytest.mark.parametrize("begun", [b"", b"\0", struct.pack(">BI", 0, 100) + b"half"])
def test_a_request_that_does_not_come_to_its_end_ends_its_stream(
    tmp_path: Path, begun: bytes
) -> None:
    """A stream that was opened, and no more: its connection has asked, and may stay."""

    async def scene(server: Server) -> None:
        async with raw(server.port) as peer:
            await peer.begin()
            part = wire.frame(wire.DATA, 0, 1, begun) if begun else b""
            await peer.send(wire.headers(1), part)
            said = await peer.ending()
            assert said["grpc-message"] == "a request is too long in coming"

    _play(tmp_path, scene, _SHORT)


def test_a_second_request_that_is_cut_off_ends_its_stream(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        async with raw(server.port) as peer:
            await peer.begin()
            asked = wire.request(CLUSTER, "front1")
            await peer.send(wire.headers(1), wire.message(1, asked))
            assert await peer.until(wire.DATA)
            await asyncio.sleep(1)  # longer than a first request may take
            assert len(server.serving.hub) == 1
            await peer.send(wire.frame(wire.DATA, 0, 1, struct.pack(">BI", 0, 9) + b"half"))
            assert await peer.until(wire.HEADERS)
            assert len(server.serving.hub) == 0

    _play(tmp_path, scene, _SHORT)


# --- floods -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_ends_its_connection_and_no_other(tmp_path: Path, kind: str) -> None:
    async def flood(peer: Raw) -> bool:
        number = 0
        while number < 20 * _MANY:
            part = b"".join(FLOODS[kind](number + one) for one in range(100))
            number += 100
            if not await peer.send(part):
                return True
            await asyncio.sleep(0)
        return await peer.is_ended()

    async def scene(server: Server) -> None:
        async with raw(server.port) as peer:
            await peer.begin()
            await peer.send(opened())
            assert await peer.until(wire.DATA)
            attack = asyncio.create_task(flood(peer))
            assert await asyncio.wait_for(_is_served(server), _SECONDS)
            assert await attack
        assert await _is_alone(server)
        assert await _is_served(server)

    _play(tmp_path, scene)


# --- too much of something --------------------------------------------------------------------


def test_a_head_that_is_too_large_ends_its_connection(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        async with raw(server.port) as peer:
            await peer.begin()
            await peer.send(wire.headers(1, ("x-large", "x" * 9_000)))
            assert await peer.is_ended()
        assert await _is_served(server)

    _play(tmp_path, scene)


async def _ended_with(server: Server, *bodies: bytes, is_compressed: bool = False) -> str:
    """What the stream of somebody who sends these ends with."""
    async with raw(server.port) as peer:
        await peer.begin()
        messages = [wire.message(1, body, is_compressed=is_compressed) for body in bodies]
        await peer.send(wire.headers(1), *messages)
        return (await peer.ending())["grpc-message"]


@pytest.mark.parametrize("size", [512 * 1024 + 1, 4 * 1024 * 1024 + 1])
def test_a_request_that_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, size: int
) -> None:
    async def scene(server: Server) -> None:
        body = wire.request(CLUSTER, "front1") + b"\x92\x01" + b"x"
        async with raw(server.port) as peer:
            await peer.begin()
            await peer.send(
                wire.headers(1),
                wire.frame(wire.DATA, 0, 1, struct.pack(">BI", 0, size) + body),
            )
            assert await peer.until(wire.HEADERS, 1)
        assert len(server.serving.hub) == 0
        assert await _is_served(server)

    _play(tmp_path, scene)


def test_a_compressed_request_is_refused(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        said = await _ended_with(server, b"\x1f\x8b\x08" + b"x" * 40, is_compressed=True)
        assert said == "compressed messages are not accepted"

    _play(tmp_path, scene)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff" * 64,
        b"\x0a\xff\xff\xff\xff\x7f",
        b"\x12" + b"\x7f",
        b"\x0b" * 60_000,  # groups within groups
        b"\x12\x80\x80\x04" + b"\x0a" * 60_000,
    ],
    ids=["noise", "a length beyond the end", "cut off", "deep groups", "deep messages"],
)
def test_a_request_that_is_no_message_is_refused(tmp_path: Path, body: bytes) -> None:
    async def scene(server: Server) -> None:
        assert await _ended_with(server, body)
        assert await _is_served(server)

    _play(tmp_path, scene)


def test_types_that_a_client_makes_up_are_not_remembered_without_end(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        bodies = [
            wire.request(f"type.googleapis.com/made.up.Type{one}", "front1") for one in range(40)
        ]
        assert await _ended_with(server, *bodies) == "too many types on one stream"

    _play(tmp_path, scene)


def test_names_that_a_client_asks_for_are_not_remembered_without_end(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        async with caller(server.port) as client:
            call = client.stream("front1", is_delta=True)
            for turn in range(3):
                names = [f"{turn}-{number}" for number in range(400)]
                await call.ask(ENDPOINT, resource_names_subscribe=names)
            code, details = await call.status()
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details == "too many names on one connection"

    _play(tmp_path, scene, Limits(names=1_000))


def test_ten_thousand_names_in_one_request_are_answered(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        async with caller(server.port) as client:
            call = client.stream("front1")
            await call.ask(ENDPOINT, resource_names=["app", *(str(one) for one in range(10_000))])
            found = await call.answer()
            call.cancel()
        assert len(found.resources) == 1

    _play(tmp_path, scene)


@pytest.mark.parametrize(
    "limits", [Limits(connections=20), Limits(connections_of_one=20)], ids=["all", "of one"]
)
def test_only_so_many_connections_are_accepted_and_there_is_room_again(
    tmp_path: Path, limits: Limits
) -> None:
    async def scene(server: Server) -> None:
        async with contextlib.AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(raw(server.port)) for _ in range(20)]
            for peer in peers:
                await peer.begin()
                assert await peer.until(wire.SETTINGS, wire.ACK)
            late = await stack.enter_async_context(raw(server.port))
            assert await late.is_ended()
            await peers[0].send(wire.headers(1), wire.message(1, wire.request(CLUSTER, "front1")))
            assert await peers[0].until(wire.DATA)
        assert await _is_alone(server)
        assert await _is_served(server)

    _play(tmp_path, scene, limits)


def test_an_address_of_its_own_has_room_while_another_has_none(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        held = []
        for _ in range(3):
            one = socket.create_connection(
                ("127.0.0.1", server.port), source_address=("127.0.0.9", 0)
            )
            held.append(one)
        await asyncio.sleep(0.2)
        assert await _is_served(server)
        assert server.serving.server.connections.turned_away == 1
        for one in held:
            one.close()

    _play(tmp_path, scene, Limits(connections_of_one=2))


def test_large_requests_that_do_not_end_share_a_limit(tmp_path: Path) -> None:
    """Each is within its own; all together, on one connection, are not held."""

    async def scene(server: Server) -> None:
        begun = struct.pack(">BI", 0, 60_000) + b"x" * 52_000
        async with raw(server.port) as peer:
            await peer.begin()
            for stream in (1, 3, 5):
                parts = (begun[at : at + 16_384] for at in range(0, len(begun), 16_384))
                frames = (wire.frame(wire.DATA, 0, stream, part) for part in parts)
                await peer.send(wire.headers(stream), *frames)
            said = await peer.ending()
            assert said["grpc-message"] == "too many requests at once"
        assert await _is_alone(server)
        assert await _is_served(server)

    _play(tmp_path, scene, Limits(unread=120_000))
