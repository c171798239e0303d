"""Requests of a hostile client on a stream that it may have: what they cost, and who notices."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from meshc.delivery.xds.transport.limits import Limits
from tests.delivery.xds import raw as wire
from tests.delivery.xds.conformance.stage import Stage, play_within
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.process import serving
from tests.delivery.xds.raw import raw
from tests.delivery.xds.served import SECONDS, until

if TYPE_CHECKING:
    from pathlib import Path

_PATIENT = Limits(ping_every=60.0)


def _asked(**fields: Any) -> bytes:
    return wire.request(ENDPOINT, "n", **fields)


async def _answer_takes(stage: Stage) -> float:
    """How long somebody else waits for an answer, in seconds."""
    began = time.monotonic()
    talk = stage.talk()
    await talk.ask(CLUSTER)
    await talk.taken()
    return time.monotonic() - began


def test_who_acknowledges_what_was_never_read_is_sent_no_more() -> None:
    """Nonces are numbers that can be guessed, so a client can go on without reading."""
    size = 1_000_000

    async def scene(stage: Stage) -> None:
        async with raw(stage.port) as peer:
            await peer.begin({4: 0})  # no room on any stream, ever
            await peer.send(wire.headers(1), wire.message(1, _asked(resource_names=["a"])))
            await until(lambda: len(stage.hub) == 1)
            for nonce in range(1, 400, 2):
                # Dropped and asked for anew, a name is sent again.
                await peer.send(
                    wire.message(1, _asked(response_nonce=str(nonce), resource_names=["b"])),
                    wire.message(1, _asked(response_nonce=str(nonce + 1), resource_names=["a"])),
                )
            await asyncio.sleep(1)
            [one] = stage.hub
            assert one.state.responses == 1

    play_within(_PATIENT, scene, endpoints=f"a{size * '1'} b{size * '2'}")


def test_pushes_to_who_does_not_read_are_one_response_of_each_type() -> None:
    async def scene(stage: Stage) -> None:
        async with raw(stage.port) as peer:
            await peer.begin({4: 0})
            await peer.send(
                wire.headers(1),
                wire.message(1, _asked(resource_names=["a"])),
                wire.message(1, wire.request(CLUSTER)),
            )
            quick = stage.talk()
            await quick.ask(ENDPOINT, "a")
            await quick.taken()
            for turn in range(2, 102):
                await stage.put(endpoints=f"a{turn}", clusters=f"a{turn}")
                await quick.taken()
            slow = next(one for one in stage.hub if one.state.responses < 50)
            assert slow.state.responses <= 2

    play_within(_PATIENT, scene, endpoints="a", clusters="a")


def test_who_never_takes_a_response_is_let_go_though_it_answers_pings() -> None:
    async def scene(stage: Stage) -> None:
        async with raw(stage.port) as peer:
            await peer.begin({4: 0})
            await peer.send(wire.headers(1), wire.message(1, _asked(resource_names=["a"])))
            assert (await peer.ending())["grpc-message"] == "a response is not read"
        assert len(stage.hub) == 0

    play_within(Limits(taken=0.5), scene, endpoints="a")


_BUSY = {
    "the same request": lambda: wire.message(1, _asked(resource_names=["a"])),
    "a refusal of everything": lambda: wire.message(
        1, wire.request(ENDPOINT, response_nonce="1", resource_names=["a"])
    ),
    "hundreds of requests in a frame": lambda: wire.frame(
        wire.DATA,
        0,
        1,
        b"".join(struct.pack(">BI", 0, 9) + b"\x22\x071234567" for _ in range(1000)),
    ),
    "thousands of names": lambda: wire.message(
        1, wire.request(ENDPOINT, resource_names=[str(one) for one in range(8_000)])
    ),
}


@pytest.mark.parametrize("kind", _BUSY)
def test_requests_without_pause_are_answered_in_their_time_and_others_at_once(kind: str) -> None:
    async def flood(peer: wire.Raw) -> None:
        part = _BUSY[kind]()
        for _ in range(100_000):
            if not await peer.send(part):
                return
            await asyncio.sleep(0)

    async def scene(stage: Stage) -> None:
        async with raw(stage.port) as peer:
            await peer.begin()
            await peer.send(wire.headers(1), wire.message(1, _asked(resource_names=["a"])))
            assert await peer.until(wire.DATA)
            flooding = asyncio.create_task(flood(peer))
            await asyncio.sleep(1.5)
            used = time.process_time()
            for _ in range(5):
                assert await _answer_takes(stage) < SECONDS / 10
                await asyncio.sleep(0.1)
            flooding.cancel()
            assert time.process_time() - used < 0.5

    play_within(_PATIENT, scene, endpoints="a", clusters="a")


def test_names_are_counted_over_all_streams_of_a_connection() -> None:
    async def scene(stage: Stage) -> None:
        async with raw(stage.port) as peer:
            await peer.begin()
            names = [str(one) for one in range(400)]
            for stream in (1, 3):
                await peer.send(
                    wire.headers(stream), wire.message(stream, _asked(resource_names=names))
                )
            await until(lambda: len(stage.hub) == 2)
            # The same names again are no more than before.
            await peer.send(wire.message(1, _asked(resource_names=names)))
            await peer.send(wire.headers(5), wire.message(5, _asked(resource_names=names)))
            said = await peer.ending()
            assert said["grpc-message"] == "too many names on one connection"
            await peer.send(wire.frame(wire.RESET, 0, 1, bytes(4)))
            await until(lambda: len(stage.hub) == 1)
            await peer.send(wire.headers(7), wire.message(7, _asked(resource_names=names)))
            await until(lambda: len(stage.hub) == 2)

    play_within(Limits(names=1_000), scene, endpoints="a")


@pytest.mark.parametrize("field", ["resource_names", "version_info", "response_nonce", "type_url"])
def test_texts_that_nobody_needs_so_long_are_refused(field: str) -> None:
    async def scene(stage: Stage) -> None:
        async with raw(stage.port) as peer:
            await peer.begin()
            text = "x" * 2_000
            asked: dict[str, Any] = {"type_url": ENDPOINT}
            asked[field] = [text] if field == "resource_names" else text
            await peer.send(wire.headers(1), wire.message(1, wire.request(**asked, node="n")))
            assert (await peer.ending())["grpc-message"] == "a text of more than 512 bytes"

    play_within(Limits(), scene, endpoints="a")


_HOSTILE = "no\nlevel=error event=forged\r\x1b[2J\x1b]0;owned\x07" + "\u202e" + "x" * 60_000


def test_what_a_client_says_of_a_refusal_is_cut_and_is_one_line_of_the_log(tmp_path: Path) -> None:
    make_bundle(tmp_path)

    async def refuse(port: int) -> None:
        async with raw(port) as peer:
            await peer.begin()
            await peer.send(wire.headers(1), wire.message(1, wire.request(CLUSTER, "front1")))
            assert await peer.until(wire.DATA)
            message = wire.request(CLUSTER, response_nonce="1", error_detail={"message": _HOSTILE})
            await peer.send(wire.message(1, message))
            await until(lambda: "event=refused" in (tmp_path / "log").read_text())

    with serving(tmp_path) as server:
        asyncio.run(refuse(server.port))
        [line] = [one for one in (tmp_path / "log").read_text().splitlines() if "refused" in one]
    assert "\x1b" not in line
    assert r"no\nlevel=error event=forged\r\u001b[2J" in line
    assert 1024 <= len(line) < 1400
