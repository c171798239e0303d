"""A server that is killed and started again under many streams: nothing wrong is ever sent."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from typing import TYPE_CHECKING

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.delivery.xds.crowd import Follower, crowd
from tests.delivery.xds.meshes import APP, FRONT, SECOND_HOST, SMALL, make_bundle
from tests.delivery.xds.process import ServeProcess, serving
from tests.delivery.xds.served import free_port

if TYPE_CHECKING:
    from pathlib import Path

_STREAMS = 300
_NODES = tuple(f"front{number}" for number in range(1, 31))
_PATIENCE_S = 60.0
_ROUTES = {"app": "outbound/app", "store": "outbound/store"}
_TYPES = {CLUSTER: 3, LISTENER: 3, ENDPOINT: 2, ROUTE: 2}
"""How many of each the mesh has for each of the nodes."""
_KILLED_AFTER_S = (0.0, 0.02, 0.1)
"""A push to so many takes about a tenth of a second."""


def _mesh(folder: Path, app: str) -> Path:
    hosts = "".join(
        f"- name: {node}\n"
        f"  ingressAddr: {{host: 127.0.8.{number}, port: 8000}}\n"
        f"  substanceAddr: {{host: 127.0.0.1, port: 9000}}\n"
        for number, node in enumerate(_NODES, 1)
    )
    dependencies = FRONT[FRONT.index("dependentServices") :]
    front = f"protocol: HTTP\nhosts:\n{hosts}{dependencies}"
    return make_bundle(folder, SMALL | {"front": front, "app": app})


async def _until_all_are_settled(server: ServeProcess) -> int:
    """Wait for all streams with all types acknowledged; returns the responses that took."""
    found: list[dict[str, object]] = []

    async def look() -> bool:
        status = await asyncio.to_thread(server.status)
        found[:] = status.get("streams", [])
        return len(found) == _STREAMS and all(_is_settled(one) for one in found)

    for _ in range(int(_PATIENCE_S / 0.1)):
        if await look():
            return sum(int(str(one["responses"])) for one in found)
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(found)} streams, and these: {found[:2]}")


def _is_settled(stream: dict[str, object]) -> bool:
    types = stream["types"]
    assert isinstance(types, dict)
    return len(types) == len(_TYPES) and all(
        one["state"] == "acknowledged" for one in types.values()
    )


def _check_that_nothing_was_empty_or_taken_away(followers: list[Follower]) -> None:
    for one in followers:
        for type_url, count, removed in one.responses:
            assert 1 <= count <= _TYPES[type_url], (one.node, type_url, count)
            assert removed == 0
            if not one.is_delta and type_url in {CLUSTER, LISTENER}:
                assert count == _TYPES[type_url], (one.node, type_url, count)


def test_many_streams_come_back_to_a_server_that_was_killed(tmp_path: Path) -> None:
    one_host = _mesh(tmp_path / "one", APP)
    two_hosts = _mesh(tmp_path / "two", APP + SECOND_HOST)
    shutil.copytree(one_host, tmp_path / "out")
    port = free_port()

    async def start(stack: contextlib.ExitStack) -> ServeProcess:
        return await asyncio.to_thread(stack.enter_context, serving(tmp_path, port=port))

    async def kill(server: ServeProcess) -> None:
        server.process.kill()
        await asyncio.to_thread(server.process.wait)

    async def scene(stack: contextlib.ExitStack) -> None:
        server = await start(stack)
        async with crowd(port, _NODES, _ROUTES, streams=_STREAMS) as followers:
            assert await _until_all_are_settled(server) == _STREAMS * len(_TYPES)

            await kill(server)
            server = await start(stack)
            assert await _until_all_are_settled(server) == 0
            assert all(len(one.responses) == len(_TYPES) for one in followers)
            assert all(one.attempts >= 2 for one in followers)

            for round_number, delay_s in enumerate(_KILLED_AFTER_S):
                has_two = round_number % 2 == 0
                shutil.rmtree(tmp_path / "out")
                shutil.copytree(two_hosts if has_two else one_host, tmp_path / "out")
                server.process.send_signal(signal.SIGHUP)
                await asyncio.sleep(delay_s)
                await kill(server)
                server = await start(stack)
                await _until_all_are_settled(server)
                for one in followers:
                    assert (b"127.0.9.3" in one.endpoints["app"]) is has_two, one
        _check_that_nothing_was_empty_or_taken_away(followers)

    with contextlib.ExitStack() as stack:
        asyncio.run(scene(stack))
