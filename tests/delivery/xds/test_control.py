"""What a running server says of itself, and where it says it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.errors import DeliveryError
from meshc.delivery.xds.process.asking import ask_status
from meshc.delivery.xds.process.control import ServerPages, serve_control
from meshc.delivery.xds.protocol.types import CLUSTER
from meshc.delivery.xds.settings import control_to_ask, control_to_serve
from meshc.delivery.xds.transport.addresses import Address, address
from meshc.diagnostics.errors import SettingsError
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import Server, caller, free_port, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


def _play(folder: Path, where: Address, scene: Callable[[Server], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served(make_bundle(folder)) as server:
            control = await serve_control(ServerPages(server.serving), where)
            try:
                await scene(server)
            finally:
                control.close()

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["path", "port"])
def test_status_tells_who_is_connected_and_what_was_accepted(tmp_path: Path, kind: str) -> None:
    where = address(f"unix:{tmp_path}/c" if kind == "path" else f"127.0.0.1:{free_port()}")

    async def scene(server: Server) -> None:
        async with caller(server.port) as client:
            call = client.stream("front1")
            await call.ask(CLUSTER)
            await call.acknowledge(await call.answer())
            await call.has_silence()

            found = await asyncio.to_thread(ask_status, where)

            call.cancel()
        [stream] = found["streams"]
        assert stream["node"] == "front1"
        assert stream["types"]["CDS"]["state"] == "acknowledged"

    _play(tmp_path, where, scene)


def _got(where: Address, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(where.host, where.port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_pages_are_what_their_paths_say(tmp_path: Path) -> None:
    where = address(f"127.0.0.1:{free_port()}")

    async def scene(_server: Server) -> None:
        health = await asyncio.to_thread(_got, where, "/healthz")
        metrics = await asyncio.to_thread(_got, where, "/metrics")
        nothing = await asyncio.to_thread(_got, where, "/other")
        wrong = await asyncio.to_thread(_got, where, "/status", "POST")
        status = await asyncio.to_thread(_got, where, "/status")
        assert health == (200, b"serving\n")
        assert metrics[0] == 200
        assert b"\nmeshc_serve_source_ok 1\n" in metrics[1]
        assert (nothing[0], wrong[0]) == (404, 405)
        assert json.loads(status[1])["problem"] == ""

    _play(tmp_path, where, scene)


def test_a_port_for_status_is_shared_with_nobody(tmp_path: Path) -> None:
    """Whoever asks would be told of one server now and of another one then."""
    where = address(f"127.0.0.1:{free_port()}")

    async def scene(server: Server) -> None:
        with pytest.raises(DeliveryError, match="cannot listen on"):
            await serve_control(ServerPages(server.serving), where)

    _play(tmp_path, where, scene)


def test_where_no_server_runs_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="no server answers at unix:") as error:
        ask_status(address(f"unix:{tmp_path}/nobody"))
    assert error.value.hint == "is meshc serve running, with the same --control?"


@pytest.mark.parametrize("said", ["", "soon", "-1s", "nan", "inf"])
def test_a_drain_time_that_says_nothing_is_envoys_own(tmp_path: Path, said: str) -> None:
    bundle = make_bundle(tmp_path)
    manifest = bundle / "manifest.json"
    text = manifest.read_text()
    assert '"drain_time": "60s"' in text
    manifest.write_text(text.replace('"drain_time": "60s"', f'"drain_time": "{said}"'))

    async def run() -> float:
        async with served(bundle) as server, caller(server.port) as client:
            call = client.stream("front1")
            await call.ask(CLUSTER)
            await call.answer()
            [connected] = server.serving.hub
            call.cancel()
            return connected.state.snapshot.drain_s

    assert asyncio.run(run()) == 600.0


def test_the_socket_of_a_server_that_lives_is_not_taken_from_it(tmp_path: Path) -> None:
    where = address(f"unix:{tmp_path}/c")

    async def scene(server: Server) -> None:
        with pytest.raises(DeliveryError, match="Address already in use") as error:
            await serve_control(ServerPages(server.serving), where)
        assert "is another server there" in str(error.value.hint)
        assert (await asyncio.to_thread(ask_status, where))["problem"] == ""

    _play(tmp_path, where, scene)


def test_the_socket_of_a_server_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/c")
    where = address(f"unix:{tmp_path}/c")

    async def scene(_server: Server) -> None:
        assert (await asyncio.to_thread(ask_status, where))["problem"] == ""

    _play(tmp_path, where, scene)


def test_server_and_question_meet_without_being_told_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, own = tmp_path / "service", tmp_path / "own"
    monkeypatch.setattr("meshc.delivery.xds.settings._OF_THE_SERVICE", service)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own))

    assert control_to_serve() == f"unix:{own}/meshc/serve.sock"
    assert (own / "meshc").stat().st_mode & 0o777 == 0o700
    assert control_to_ask() == f"unix:{service}/serve.sock"
    (own / "meshc/serve.sock").touch()
    assert control_to_ask() == f"unix:{own}/meshc/serve.sock"
    service.mkdir()
    assert control_to_serve() == f"unix:{service}/serve.sock"


def test_where_no_folder_can_be_made_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshc.delivery.xds.settings._OF_THE_SERVICE", tmp_path / "service")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))

    with pytest.raises(SettingsError, match="no folder for the socket") as error:
        control_to_serve()
    assert error.value.hint == "say --control unix:/PATH, or --control none"
