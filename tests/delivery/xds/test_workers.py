"""Several processes on one port, as real ones, with clients that are not ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from meshc.delivery.xds.protocol.types import CLUSTER
from meshc.delivery.xds.settings import ServeSettings
from meshc.delivery.xds.transport.addresses import address
from meshc.diagnostics.errors import SettingsError
from tests.delivery.exposition import parsed
from tests.delivery.live import until
from tests.delivery.xds.meshes import SMALL, make_bundle
from tests.delivery.xds.process import PATIENCE_S, ServeProcess, serve_command, serving
from tests.delivery.xds.served import ADS, Call, free_port
from tests.delivery.xds.streams import message_class

if TYPE_CHECKING:
    from collections.abc import Iterator

_STREAMS = 200
_TRIES, _STABLE_S = 10, 0.5
_TWO = ("--workers", "2")
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50)]


def _is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServeProcess]:
    make_bundle(tmp_path)
    with serving(tmp_path, *_TWO) as found:
        yield found


@dataclass
class _Client:
    """A client with a connection of its own, that comes back as an Envoy does."""

    port: int
    version: str = ""
    channel: Any = None
    call: Call | None = None

    async def connect(self) -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=_OWN_CONNECTION)
        await self.ask()

    async def ask(self) -> None:
        """Open a stream, and ask with the version that it has."""
        stream = self.channel.stream_stream(
            f"/{ADS}/StreamAggregatedResources",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_class("DiscoveryResponse").FromString,
        )(wait_for_ready=True)
        self.call = Call(stream, "front1", is_delta=False)
        await self.call.ask(CLUSTER, version_info=self.version)

    async def come_back(self) -> None:
        """Open another stream; what waited at the door of a worker that is gone is tried again."""
        for _ in range(_TRIES):
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await self.ask()
                assert self.call is not None
                ending = asyncio.ensure_future(self.call.status())
                await asyncio.wait({ending}, timeout=_STABLE_S)
                if not ending.done():
                    ending.cancel()
                    return
        raise AssertionError("no stream stays")

    async def take(self) -> None:
        assert self.call is not None
        answer = await self.call.answer()
        await self.call.acknowledge(answer)
        self.version = answer.version_info

    async def close(self) -> None:
        if self.call is not None:
            self.call.cancel()
        await self.channel.close()


async def _accepted(server: ServeProcess, number: int, generation: str = "") -> dict[str, Any]:
    """Wait until so many streams have accepted everything, and return the status."""
    for _ in range(PATIENCE_S * 10):
        found = await asyncio.to_thread(server.status)
        settled = [
            one
            for one in found["streams"]
            if one["types"]["CDS"]["state"] == "acknowledged"
            and (not generation or one["generation"] == generation)
        ]
        if len(settled) == number and len(found["streams"]) == number:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(found)


def _per_worker(status: dict[str, Any]) -> dict[str, int]:
    names = [one["worker"] for one in status["streams"]]
    return {name: names.count(name) for name in ("1", "2")}


def test_two_workers_are_one_server(server: ServeProcess) -> None:
    """Streams are spread, a switch reaches all, a worker that is killed costs nobody much."""

    async def play() -> list[Any]:
        clients = [_Client(server.port) for _ in range(_STREAMS)]
        await asyncio.gather(*(one.connect() for one in clients))
        await asyncio.gather(*(one.take() for one in clients))
        await _switched(server, clients)
        await _killed(server, clients)
        ends = [asyncio.ensure_future(one.call.status()) for one in clients if one.call]
        server.process.terminate()
        found = await asyncio.wait_for(asyncio.gather(*ends), PATIENCE_S)
        await asyncio.gather(*(one.close() for one in clients))
        return found

    pids = server.pids()
    ends = asyncio.run(play())

    assert server.process.wait(PATIENCE_S) == 0
    assert {code for code, _ in ends} == {grpc.StatusCode.UNAVAILABLE}
    assert not any(_is_there(pid) for pid in pids.values())
    server.heard()
    assert server.said.count("READY=1") == 1
    assert {"WATCHDOG=1", "STOPPING=1"} <= set(server.said)


async def _switched(server: ServeProcess, clients: list[_Client]) -> None:
    spread = _per_worker(await _accepted(server, _STREAMS))
    assert min(spread.values()) > _STREAMS / 10
    _, samples = parsed(server.page("/metrics"))
    for worker, number in spread.items():
        assert samples["meshc_serve_streams", f'worker="{worker}"'] == number
        assert samples["meshc_serve_worker_up", f'worker="{worker}"'] == 1

    app = SMALL["app"] + "timeouts: {connect: 3s}\n"
    await asyncio.to_thread(make_bundle, server.folder, SMALL | {"app": app})
    server.process.send_signal(signal.SIGHUP)
    await asyncio.gather(*(one.take() for one in clients))
    status = await asyncio.to_thread(server.status)
    assert (status["switches"], status["nodes"]) == (1, 1)
    await _accepted(server, _STREAMS, status["generation"])


async def _killed(server: ServeProcess, clients: list[_Client]) -> None:
    before, spread = server.pids(), _per_worker(server.status())
    calls = {asyncio.ensure_future(one.call.status()): one for one in clients if one.call}

    os.kill(before["1"], signal.SIGKILL)

    done: set[asyncio.Future[Any]] = set()
    while len(done) < spread["1"]:
        more, _ = await asyncio.wait(
            calls.keys() - done, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
        assert more, "clients of a worker that is gone are not told"
        await asyncio.gather(*(calls[one].come_back() for one in more))
        done |= more
    status = await _accepted(server, _STREAMS)
    for one in calls.keys() - done:
        one.cancel()

    assert len(done) == spread["1"]
    # Whoever comes back with what is current is sent nothing.
    assert sum(one["responses"] for one in status["streams"]) == 2 * (_STREAMS - len(done))
    until(server.is_well, "a new worker")
    after = {one["worker"]: one for one in server.status()["workers"]}
    assert after["1"]["pid"] not in {0, *before.values()}
    assert (after["1"]["restarts"], after["2"]["pid"]) == (1, before["2"])
    _, samples = parsed(server.page("/metrics"))
    assert samples["meshc_serve_worker_restarts_total", 'worker="1"'] == 1


def test_workers_end_when_their_parent_is_killed(server: ServeProcess) -> None:
    pids = server.pids()
    assert all(map(_is_there, pids.values()))

    server.process.kill()

    until(lambda: not any(_is_there(pid) for pid in pids.values()), "the workers' end")


def test_what_cannot_begin_is_said_once_and_leaves_nobody(tmp_path: Path) -> None:
    done = subprocess.run(
        serve_command(tmp_path, free_port(), *_TWO),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 3
    assert done.stderr.count("is missing") == 1
    assert 'hint="build first: meshc build"' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("listen", "more", "said"),
    [
        ("unix:/tmp/x", {}, "several workers cannot share unix:/tmp/x"),
        ("127.0.0.1:0", {}, "several workers cannot share 127.0.0.1:0"),
        ("127.0.0.1:1", {"rest": address("127.0.0.1:0")}, "cannot share 127.0.0.1:0"),
    ],
)
def test_what_workers_cannot_share_is_refused(listen: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as error:
        ServeSettings(source="out", listen=address(listen), tls=None, workers=2, **more)
    assert error.value.hint == "give a port, or say --workers 1"


@pytest.mark.parametrize("number", ["0", "-1", "many", "65", "1.5", "²"])
def test_what_is_no_number_of_workers_is_refused(tmp_path: Path, number: str) -> None:
    done = subprocess.run(
        serve_command(tmp_path, 1, "--workers", number),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 3
    assert f'--workers is "{number}"' in done.stderr
