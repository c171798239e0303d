"""Frames that make no sense, in any order: they end their own connection and nothing else."""

from __future__ import annotations

import asyncio
import logging
import random
import struct
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.log import Log
from meshc.delivery.xds.process.records import Records
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from meshc.delivery.xds.transport.limits import Limits
from tests.delivery.xds import raw as wire
from tests.delivery.xds.conformance.stage import Stage, play_within
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.process import serving
from tests.delivery.xds.raw import raw
from tests.delivery.xds.served import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CONNECTIONS, _FRAMES = 800, 40
_KINDS = (*range(10), 0x0A, 0x10, 0x7F)


class _Noise:
    """A client that keeps to the rules for the most part, and does not care for answers."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._next = 1
        self._oddness = self._draw.choice((0.0, 0.02, 0.2))

    def frame(self) -> bytes:
        if self._next == 1:
            return self._open()
        if self._draw.random() < self._oddness:
            return self._odd()
        steps: tuple[Callable[[], bytes], ...] = (
            self._open,
            self._ask,
            self._ask,
            self._ask,
            self._reset,
            self._end,
            self._window,
            self._settings,
            lambda: wire.frame(wire.PING, 0, 0, bytes(8)),
        )
        return self._draw.choice(steps)()

    def _odd(self) -> bytes:
        """Any kind, any flags, any stream, any body."""
        size = self._draw.choice((0, 1, 4, 5, 6, 8, 8, 12, 40, 300))
        return wire.frame(
            self._draw.choice(_KINDS),
            self._draw.choice((0, 1, 4, 5, 8, 0x20, 0x25, 0xFF)),
            self._draw.choice((0, 1, 2, 3, 5, 7, 9, 2**31 - 1, 2**31 + 1)),
            self._draw.choice((bytes(size), self._draw.randbytes(size))),
        )

    def _open(self) -> bytes:
        self._next += 2
        flags = self._draw.choice((wire.END_HEADERS, wire.END_HEADERS, 5))
        return wire.headers(self._next - 2, flags=flags) + self._ask(self._next - 2)

    def _stream(self) -> int:
        return self._draw.randrange(1, self._next, 2)

    def _ask(self, stream: int = 0) -> bytes:
        node = self._draw.choice(("n", "n", "n", "", "m"))
        type_url = self._draw.choice((CLUSTER, ENDPOINT, ENDPOINT, ""))
        nonce = self._draw.choice(("", "1", "2"))
        body = wire.request(type_url, node, resource_names=["a"], response_nonce=nonce)
        return wire.message(stream or self._stream(), body)

    def _reset(self) -> bytes:
        return wire.frame(wire.RESET, 0, self._stream(), bytes(4))

    def _end(self) -> bytes:
        return wire.frame(wire.DATA, wire.END_STREAM, self._stream())

    def _window(self) -> bytes:
        size = self._draw.choice((1, 1000, 2**20, 2**30))
        return wire.frame(wire.WINDOW, 0, self._stream(), struct.pack(">I", size))

    def _settings(self) -> bytes:
        one = self._draw.choice(((4, 0), (4, 1), (4, 65_535), (4, 2**31 - 1), (1, 0), (5, 16_384)))
        return wire.frame(wire.SETTINGS, payload=struct.pack(">HI", *one))


async def _make_noise(port: int, seed: int) -> None:
    noise = _Noise(seed)
    async with raw(port) as peer:
        await peer.send(wire.PREFACE + wire.frame(wire.SETTINGS))
        for number in range(_FRAMES):
            if not await peer.send(noise.frame()):
                return
            if (seed + number) % 7 == 0:
                await asyncio.sleep(0)


def test_noise_ends_its_connection_and_is_no_mistake_of_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[dict[str, Any]] = []

    async def scene(stage: Stage) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, what: told.append(what))
        for first in range(0, _CONNECTIONS, 50):
            await asyncio.gather(
                *(_make_noise(stage.port, seed) for seed in range(first, first + 50))
            )
        await until(lambda: not len(stage.hub))
        talk = stage.talk()
        await talk.ask(CLUSTER)
        assert (await talk.taken()).resources
        await until(lambda: len(stage.server.connections.open) == 1)

    with caplog.at_level(logging.ERROR):
        play_within(Limits(first_request=0.5), scene, clusters="a", endpoints="a")
    assert told == []
    assert [one.getMessage() for one in caplog.records] == []


def test_what_libraries_log_is_a_line_each_and_not_too_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = Records(Log())
    logger = logging.getLogger("tests.library")
    logger.addHandler(handler)
    try:
        for number in range(100):
            try:
                int(f"{number}\nlevel=info event=forged \x1b[2J")
            except ValueError:
                logger.exception("Application\nerror")
    finally:
        logger.removeHandler(handler)

    lines = capsys.readouterr().err.splitlines()
    assert 20 <= len(lines) <= 25
    for line in lines:
        assert "level=error event=library name=tests.library" in line
        assert r'said="Application\nerror"' in line
        assert r"level=info event=forged \\x1b[2J" in line
        assert "test_attacks_noise.py:" in line


def test_requests_that_a_library_stumbles_over_are_one_line_of_the_log(tmp_path: Path) -> None:
    """A time limit that is over when it comes: grpclib logs where it noticed."""
    make_bundle(tmp_path)

    async def stumble(port: int) -> None:
        async with raw(port) as peer:
            await peer.begin()
            for stream in range(1, 101, 2):
                await peer.send(wire.headers(stream, ("grpc-timeout", "1n")))
                await peer.ending()

    with serving(tmp_path) as server:
        asyncio.run(stumble(server.port))
    lines = (tmp_path / "log").read_text().splitlines()
    assert all(line.startswith("time=") for line in lines)
    assert 20 <= sum("event=library name=grpclib.server" in line for line in lines) <= 30


@pytest.mark.parametrize("left_out", [":method", ":path"])
def test_a_head_that_is_none_of_a_request_ends_its_connection(left_out: str) -> None:
    async def scene(stage: Stage) -> None:
        async with raw(stage.port) as peer:
            await peer.begin()
            await peer.send(wire.headers(1, without=left_out))
            assert await peer.is_ended()

    play_within(Limits(), scene)
