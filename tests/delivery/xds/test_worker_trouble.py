"""Workers that hang or cannot be started again, what is said of them, and what systemd hears."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from meshc.consul.secret import Secret
from meshc.consul.settings import ConsulSettings
from meshc.delivery.log import Log
from meshc.delivery.xds.process import handover, worker, workers
from meshc.delivery.xds.process.merged import merged
from meshc.delivery.xds.process.render import render, verdict
from meshc.delivery.xds.process.worker import Worker
from meshc.delivery.xds.process.workers import Workers
from meshc.delivery.xds.settings import ServeSettings
from meshc.delivery.xds.transport.addresses import address
from meshc.delivery.xds.transport.tls import TlsFiles
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import free_port, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import pytest


def _play(folder: Path, scene: Callable[[Workers, list[Worker]], Awaitable[None]]) -> list[str]:
    """Run two workers, as long as the scene lasts; return what was logged."""
    said = io.StringIO()
    settings = ServeSettings(
        source=str(make_bundle(folder)),
        listen=address(f"127.0.0.1:{free_port()}"),
        tls=None,
        workers=2,
    )

    async def run() -> None:
        both = [Worker(number, settings, folder, Log(said)) for number in (1, 2)]
        all_of = Workers(both, settings)
        assert await all_of.start() is None
        keeping = asyncio.create_task(all_of.keep())
        try:
            await scene(all_of, both)
        finally:
            keeping.cancel()
            await all_of.stop()

    asyncio.run(run())
    return said.getvalue().splitlines()


def test_a_worker_that_hangs_is_said_not_recommended_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_LOOK_S", 0.1)
    monkeypatch.setattr(worker, "_ALIVE_S", 0.5)

    async def scene(all_of: Workers, both: list[Worker]) -> None:
        hung = both[0].pid
        os.kill(hung, signal.SIGSTOP)

        await until(lambda: both[0].state == "silent")
        assert all_of.trouble() == "worker 1 does not answer"
        status = await all_of.status()
        assert verdict(status) == ("NOT ALL WORKERS SERVE: worker 1 does not answer", False)
        assert [one["state"] for one in status["workers"]] == ["silent", "serving"]

        await until(lambda: both[0].restarts == 1 and both[0].state == "serving")
        assert both[0].pid != hung
        assert all_of.trouble() == ""
        assert (await all_of.status())["worker_problem"] == ""

    lines = _play(tmp_path, scene)

    events = [line.partition("event=")[2].partition(" worker=")[0] for line in lines]
    assert events == ['"worker hangs and is killed"', '"worker ended"', '"worker serves again"']


def test_a_worker_that_cannot_be_started_is_tried_again_while_the_other_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_PAUSE_S", 0.05)
    manifest = tmp_path / "out/manifest.json"

    async def scene(all_of: Workers, both: list[Worker]) -> None:
        content = manifest.read_bytes()
        manifest.unlink()
        os.kill(both[1].pid, signal.SIGKILL)

        await until(lambda: both[1].restarts > 2)
        assert all_of.trouble() == ""
        found = await all_of.overviews()
        assert (found["1"]["is_up"], found["2"]["is_up"]) == (True, False)
        assert (await all_of.status())["worker_problem"].startswith("worker 2 ")

        manifest.write_bytes(content)
        await until(lambda: both[1].state == "serving")

    lines = _play(tmp_path, scene)

    pauses = [float(line.rpartition("pause=")[2]) for line in lines if "pause=" in line]
    assert pauses[:3] == [0.05, 0.1, 0.2]
    assert "code=-9" in lines[0]
    assert "code=3" in lines[1]


def test_where_there_is_no_room_for_a_process_that_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_PAUSE_S", 0.05)

    async def scene(_all_of: Workers, both: list[Worker]) -> None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
        os.kill(both[0].pid, signal.SIGKILL)
        await until(lambda: both[0].restarts > 1)
        monkeypatch.undo()
        await until(lambda: both[0].state == "serving")

    lines = _play(tmp_path, scene)

    assert sum("No such file or directory" in line for line in lines) >= 1


def test_a_worker_is_told_everything_the_token_for_consul_too(tmp_path: Path) -> None:
    settings = ServeSettings(
        source="consul:///shop",
        listen=address("127.0.0.1:1"),
        tls=TlsFiles(certificate=tmp_path / "c", key=tmp_path / "k", client_ca=tmp_path / "a"),
        consul=ConsulSettings(token=Secret("word")),
        workers=2,
    )

    name, told = handover.read(io.BytesIO(handover.written("1", settings)))

    assert (name, told) == ("1", settings)
    assert told.consul is not None
    assert told.consul.token.reveal() == "word"


def test_systemd_is_told_while_all_is_well_and_not_while_one_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_LOOK_S", 0.02)
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    settings = ServeSettings(source="out", listen=address("127.0.0.1:1"), tls=None, workers=2)
    both = [Worker(number, settings, tmp_path, Log(io.StringIO())) for number in (1, 2)]

    async def for_a_while(*states: str) -> None:
        for one, state in zip(both, states, strict=True):
            one.state, one.said = state, "does not answer"
        telling = asyncio.create_task(workers._tell(Workers(both, settings)))
        await asyncio.sleep(0.3)
        telling.cancel()

    def heard(*states: str) -> set[bytes]:
        asyncio.run(for_a_while(*states))
        found = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                found.add(notes.recv(256))
        return found

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notes:
        notes.bind(f"{tmp_path}/notify")
        notes.settimeout(0)
        assert heard("serving", "serving") == {b"WATCHDOG=1"}
        assert heard("serving", "ended") == {b"WATCHDOG=1"}
        assert heard("serving", "silent") == {b"STATUS=worker 2 does not answer"}
        assert heard("ended", "starting") == {b"STATUS=no worker serves"}


def _said(**facts: Any) -> dict[str, Any]:
    return {
        "generation": "old",
        "mesh": "shop",
        "listen": "127.0.0.1:1",
        "tls": True,
        "started": 10.0,
        "loaded": 20.0,
        "switches": 1,
        "switch_s": 0.5,
        "problem": "",
        "certificate_problem": "",
        "memory_problem": "",
        "source_errors": 1,
        "stalls": 0,
        "connections": 2,
        "turned_away": 3,
        "denied": 2,
        "handshake_failures": 3,
        "open_streams": 1,
        "nodes": 1,
        "subscriptions": {"CDS": {"acknowledged": 1}},
        "responses": {"CDS": 5},
        "refusals": {},
        "refused": [_refused("LDS", 3)],
        "streams": [{"node": "web", "since": 5.0}],
    } | facts


def _refused(kind: str, clients: int) -> dict[str, Any]:
    return {"type": kind, "resource": "app", "place": "app.yaml:2:1", "clients": clients}


def test_what_workers_say_is_put_together() -> None:
    other = _said(
        generation="new",
        started=5.0,
        loaded=30.0,
        switches=2,
        switch_s=0.25,
        problem="no source",
        subscriptions={"CDS": {"acknowledged": 1, "refused": 2}, "EDS": {"waiting": 4}},
        responses={"CDS": 1, "EDS": 2},
        refusals={"CDS": 2},
        refused=[_refused("CDS", 2), _refused("LDS", 1)],
        streams=[{"node": "web", "since": 4.0}, {"node": "app", "since": 9.0}],
    )

    assert merged({"1": _said(), "2": other}) == {
        "generation": "new",
        "mesh": "shop",
        "listen": "127.0.0.1:1",
        "tls": True,
        "started": 5.0,
        "loaded": 30.0,
        "switches": 2,
        "switch_s": 0.5,
        "problem": "worker 2: no source",
        "certificate_problem": "",
        "memory_problem": "",
        "source_errors": 2,
        "stalls": 0,
        "connections": 4,
        "turned_away": 6,
        "denied": 4,
        "handshake_failures": 6,
        "open_streams": 2,
        "nodes": 2,
        "subscriptions": {"CDS": {"acknowledged": 2, "refused": 2}, "EDS": {"waiting": 4}},
        "responses": {"CDS": 6, "EDS": 2},
        "refusals": {"CDS": 2},
        "refused": [_refused("LDS", 4), _refused("CDS", 2)],
        "streams": [
            {"node": "app", "since": 9.0, "worker": "2"},
            {"node": "web", "since": 4.0, "worker": "2"},
            {"node": "web", "since": 5.0, "worker": "1"},
        ],
    }
    both = merged({"1": _said(problem="no source"), "2": _said(problem="no source")})
    assert both["problem"] == "no source"


def test_as_long_as_no_worker_answers_that_is_all_that_is_said(tmp_path: Path) -> None:
    settings = ServeSettings(source="out", listen=address("127.0.0.1:1"), tls=None, workers=2)
    both = [Worker(number, settings, tmp_path, Log(io.StringIO())) for number in (1, 2)]

    status = asyncio.run(Workers(both, settings).status())

    lines = list(render(status, lambda text, _: text, now=time.time()))
    assert lines[0] == ("NOT ALL WORKERS SERVE: worker 1 is starting; worker 2 is starting")
    assert "  listens on   127.0.0.1:1 (plaintext)" in lines
    assert Workers(both, settings).trouble() == "no worker serves"
