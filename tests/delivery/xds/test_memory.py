"""A server whose control group has nearly no memory left: it lives on, and serves who is there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from meshc.delivery.xds.process.status import overview
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from meshc.delivery.xds.transport import accepting, memory
from meshc.delivery.xds.transport.memory import Memory
from tests.delivery.xds import raw as wire
from tests.delivery.xds.meshes import APP, SECOND_HOST, SMALL, make_bundle
from tests.delivery.xds.process import serving
from tests.delivery.xds.raw import raw
from tests.delivery.xds.served import caller, served, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.delivery.xds.process import ServeProcess
    from tests.delivery.xds.served import Call

_MIB = 1024 * 1024
_AFTER = SMALL | {"app": APP + SECOND_HOST.lstrip()}
_GROUPS = Path("/sys/fs/cgroup")
_LIMIT = 96 * _MIB
_MANY = 1_500


def _group(root: Path, *files: tuple[str, str]) -> Memory:
    """What a process sees that is in the group `/a/b`; files are below the root."""
    for name, text in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Memory(root, root / "own")


@pytest.mark.parametrize(
    ("own", "limit", "key"),
    [
        ("0::/a/b\n", "a/b/memory.max", "anon"),
        ("0::/a/b\n", "a/memory.max", "anon"),
        ("0::/elsewhere\n", "./memory.max", "anon"),
        ("3:cpu:/\n4:memory:/a/b\n0::/\n", "memory/a/b/memory.limit_in_bytes", "total_rss"),
    ],
    ids=["own", "one around it", "a container's", "the first version"],
)
def test_memory_is_short_where_a_group_has_nearly_none_left(
    tmp_path: Path, own: str, limit: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = limit.rpartition("/")[0]
    monkeypatch.setattr(memory, "_FRESH_S", 0.0)
    found = _group(
        tmp_path,
        ("own", own),
        (limit, f"{1000 * _MIB}\n"),
        (f"{place}/memory.stat", f"{key} {900 * _MIB}\nother 5\n"),
    )
    assert found.shortage() == ""

    (tmp_path / place / "memory.stat").write_text(f"{key} {900 * _MIB + 1}\nother 5\n")

    assert found.shortage() == "900 of 1000 MiB are taken; who is new is turned away"


@pytest.mark.parametrize(
    ("name", "limit"), [("memory.max", "max"), ("memory.max", "gone"), ("memory", "1")]
)
def test_without_a_limit_memory_is_never_short(tmp_path: Path, name: str, limit: str) -> None:
    found = _group(tmp_path, ("own", "0::/\n"), (name, limit), ("memory.stat", f"anon {1 << 50}\n"))

    assert found.shortage() == ""


async def _connected_call(port: int, stack: contextlib.AsyncExitStack) -> Call:
    client = await stack.enter_async_context(
        caller(port, options={"grpc.use_local_subchannel_pool": 1})
    )
    call = client.stream("front1")
    await call.ask(ENDPOINT, resource_names=["app"])
    nonce = (await call.answer()).nonce
    await call.ask(ENDPOINT, resource_names=["app"], response_nonce=nonce)
    return call


def test_while_memory_is_short_nobody_new_is_served_and_the_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_FRESH_S", 0.0)
    parts = (("own", "0::/\n"), ("memory.max", str(100 * _MIB)), ("memory.stat", "anon 5"))
    group = tmp_path / "group"
    monkeypatch.setattr(accepting, "Memory", lambda: _group(group, *parts))

    async def scene() -> None:
        async with served(make_bundle(tmp_path)) as server, contextlib.AsyncExitStack() as stack:
            call = await _connected_call(server.port, stack)
            slow = await stack.enter_async_context(raw(server.port))
            await slow.begin()
            part = wire.frame(wire.DATA, 0, 1, b"\0\0\0\1\0part")  # of 256 bytes
            await slow.send(wire.headers(1), part)
            await until(lambda: len(server.serving.server.connections.open) == 2)

            (group / "memory.stat").write_text(f"anon {90 * _MIB}")
            await slow.send(wire.frame(wire.DATA, 0, 1, b"part"))
            assert (await slow.ending())["grpc-message"] == "no memory for a request in parts"
            with pytest.raises((grpc.aio.AioRpcError, AssertionError, asyncio.InvalidStateError)):
                await _connected_call(server.port, stack)
            assert server.serving.server.connections.turned_away > 0
            assert overview(server.serving)["memory_problem"].startswith("90 of 100 MiB")
            await server.put(make_bundle(tmp_path / "after", _AFTER))
            assert (await call.answer()).resources

            (group / "memory.stat").write_text("anon 5")
            await _connected_call(server.port, stack)
            assert overview(server.serving)["memory_problem"] == ""

    asyncio.run(scene())


@contextlib.contextmanager
def _limited() -> Iterator[list[str]]:
    """A control group with little memory; what a command begins with that runs there."""
    is_second = (_GROUPS / "cgroup.controllers").is_file()
    parent = _GROUPS if is_second else _GROUPS / "memory"
    group = parent / f"meshc-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control groups of one's own here: {error}")
    try:
        try:
            limit = "memory.max" if is_second else "memory.limit_in_bytes"
            (group / limit).write_text(str(_LIMIT))
        except OSError as error:
            pytest.skip(f"no limit of memory for control groups here: {error}")
        script = f'echo $$ > {group}/cgroup.procs && exec "$@"'
        yield ["sh", "-c", script, "sh"]
    finally:
        for _ in range(100):  # until the kernel has seen that the last process is gone
            with contextlib.suppress(OSError):
                group.rmdir()
                break


def test_a_server_outlives_a_flood_that_would_take_more_than_it_may(tmp_path: Path) -> None:
    make_bundle(tmp_path)

    async def flood(server: ServeProcess) -> None:
        body = wire.message(
            1, wire.request(CLUSTER, "front1", resource_names=[f"{n:0300}" for n in range(1500)])
        )
        half = len(body) // 2
        assert half * _MANY > 3 * _LIMIT
        async with contextlib.AsyncExitStack() as stack:
            call = await _connected_call(server.port, stack)
            async with contextlib.AsyncExitStack() as crowd:
                for number in itertools.count():
                    assert number < 20 * _MANY
                    if number >= _MANY and server.status()["turned_away"]:
                        break
                    with contextlib.suppress(OSError):
                        peer = await crowd.enter_async_context(raw(server.port))
                        await peer.begin()
                        await peer.send(wire.headers(1), body[:half])
                make_bundle(tmp_path, _AFTER)
                assert (await call.answer()).resources
            await until(lambda: server.status()["memory_problem"] == "")
            await _connected_call(server.port, stack)
        assert server.process.poll() is None

    with _limited() as within, serving(tmp_path, within=within) as server:
        asyncio.run(flood(server))
        assert server.status()["turned_away"] > 0
