"""A server under clients that do not read, do not answer, stay too long, or are too many."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from meshc.delivery.xds.transport.limits import Limits
from tests.delivery import live
from tests.delivery.xds import raw as wire
from tests.delivery.xds.meshes import APP, SMALL, make_bundle
from tests.delivery.xds.process import serving
from tests.delivery.xds.raw import raw
from tests.delivery.xds.served import caller, served, until

if TYPE_CHECKING:
    from tests.delivery.xds.process import ServeProcess

_SECONDS = 20.0


async def _is_served(port: int) -> bool:
    async with caller(port) as client:
        call = client.stream("front1")
        try:
            await call.ask(CLUSTER)
            await call.answer()
        except (grpc.aio.AioRpcError, AssertionError, asyncio.InvalidStateError):
            return False
        call.cancel()
        return True


def test_a_peer_that_has_vanished_is_let_go_and_one_that_answers_stays(tmp_path: Path) -> None:
    """A connection that nobody closes: no packet comes, not even the answer to a ping."""

    async def run() -> None:
        limits = Limits(ping_every=1.0, ping_answer=1.0)
        async with (
            served(make_bundle(tmp_path), limits=limits) as server,
            raw(server.port) as gone,
            caller(server.port) as alive,
        ):
            await gone.begin()
            await gone.send(wire.headers(1), wire.message(1, wire.request(CLUSTER, "front1")))
            call = alive.stream("app1")
            await call.ask(CLUSTER)
            await call.acknowledge(await call.answer())
            await until(lambda: len(server.serving.hub) == 2)

            await until(lambda: len(server.serving.hub) == 1)
            await asyncio.sleep(3)

            assert [one.node for one in server.serving.hub] == ["app1"]
            call.cancel()

    asyncio.run(run())


def test_a_connection_that_is_old_comes_again_and_is_sent_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        limits = Limits(age=0.5, age_grace=0.5)
        async with (
            served(make_bundle(tmp_path), limits=limits) as server,
            raw(server.port) as peer,
            caller(server.port) as client,
        ):
            await peer.begin()
            assert await peer.until(wire.GOAWAY), "it is asked to come again"
            assert await peer.is_ended()
            first = client.stream("front1")
            await first.ask(CLUSTER)
            response = await first.answer()
            await first.acknowledge(response)
            code, _ = await first.status()
            assert code is grpc.StatusCode.UNAVAILABLE

            again = client.stream("front1")
            await again.ask(CLUSTER, version_info=response.version_info)
            assert await again.has_silence()
            again.cancel()

    asyncio.run(run())


def _allow_descriptors(server: ServeProcess, count: int | None = None) -> None:
    """Allow so many descriptors, or as many as it has."""
    pid = server.process.pid
    count = len(list(Path(f"/proc/{pid}/fd").iterdir())) if count is None else count
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, most))


def _cpu_s(server: ServeProcess) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_without_file_descriptors_new_clients_wait_and_old_ones_are_served(tmp_path: Path) -> None:
    make_bundle(tmp_path)

    async def scene(server: ServeProcess) -> None:
        async with caller(server.port) as old:
            call = old.stream("front1")
            await call.ask(CLUSTER)
            await call.acknowledge(await call.answer())
            _allow_descriptors(server)
            late = []
            for _ in range(50):
                one = socket.socket()
                one.setblocking(False)  # noqa: FBT003, its signature
                one.connect_ex(("127.0.0.1", server.port))
                late.append(one)
            began, used = time.monotonic(), _cpu_s(server)
            await asyncio.sleep(2)
            busy = (_cpu_s(server) - used) / (time.monotonic() - began)
            await call.ask(ENDPOINT, resource_names=["app"])
            assert (await call.answer()).resources
            assert busy < 0.5, "it tries again and again"

            for one in late:
                one.close()
            _allow_descriptors(server, 1024)
            for _ in range(20):
                if await _is_served(server.port):
                    break
                await asyncio.sleep(0.5)
            else:
                raise AssertionError("new clients are served again")
            call.cancel()

    with serving(tmp_path) as server:
        asyncio.run(scene(server))
        assert len((tmp_path / "log").read_text().splitlines()) < 20


def test_the_number_of_connections_follows_the_descriptors_that_there_are(tmp_path: Path) -> None:
    """Below what the process may open, so that it can still read its bundle and be asked."""
    make_bundle(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, before[1]))
    try:
        running = serving(tmp_path)
        server = running.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with contextlib.ExitStack() as stack:
        stack.push(running.__exit__)
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        live.until(lambda: server.status().get("turned_away") == 60 - 36, "36 stay", _SECONDS)
        assert server.status()["connections"] == 36


def test_clients_that_do_not_read_cost_one_response_and_hold_up_nobody(tmp_path: Path) -> None:
    many = APP + "".join(
        f"- name: more{number}\n  ingressAddr: {{host: 10.0.{number // 200}.{number % 200}, "
        "port: 8000}\n  substanceAddr: {host: 127.0.0.1, port: 9000}\n"
        for number in range(500)
    )
    folders = [
        make_bundle(tmp_path / str(turn), SMALL | {"app": many.replace("8000", f"80{turn}0")})
        for turn in range(2)
    ]
    (tmp_path / "out").symlink_to(folders[0])

    def show(turn: int) -> None:
        (tmp_path / "new").symlink_to(folders[turn % 2])
        (tmp_path / "new").rename(tmp_path / "out")

    async def scene(server: ServeProcess) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(200):
                peer = await stack.enter_async_context(raw(server.port))
                await peer.begin()
                asked = wire.request(ENDPOINT, "front1", resource_names=["app"])
                await peer.send(wire.headers(1), wire.message(1, asked))
            client = await stack.enter_async_context(caller(server.port))
            call = client.stream("front1")
            await call.ask(ENDPOINT, resource_names=["app"])
            seen = [await call.answer()]
            sizes = []
            for turn in range(1, 41):
                await call.acknowledge(seen[-1], resource_names=["app"])
                show(turn)
                server.process.send_signal(1)
                seen.append(await call.answer())
                sizes.append(server.resident_mib())
            call.cancel()
            assert len({one.version_info for one in seen}) == 2
            assert sizes[-1] - sizes[9] < 10, sizes

    with serving(tmp_path) as server:
        asyncio.run(scene(server))
    shutil.rmtree(folders[1])
