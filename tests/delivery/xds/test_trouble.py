"""A failing disk, a broken file, a mistake of meshc itself: told, and nothing ends for ever."""

from __future__ import annotations

import asyncio
import io
import shutil
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpclib.server import Stream as GrpcStream

from meshc.delivery.log import Log
from meshc.delivery.xds.process import reporting, run
from meshc.delivery.xds.process.reporting import Reporter
from meshc.delivery.xds.protocol.stream import Stream
from meshc.delivery.xds.protocol.types import CLUSTER
from meshc.delivery.xds.services.hub import Hub
from meshc.delivery.xds.transport.tls import TlsFiles
from tests.consul.authority import Authority
from tests.delivery.xds.meshes import SMALL, make_bundle
from tests.delivery.xds.served import SECONDS, Server, caller, served, until

if TYPE_CHECKING:
    from pathlib import Path


def _changed(folder: Path) -> Path:
    """The small mesh with another connect timeout, so that clusters differ."""
    app = SMALL["app"] + "timeouts: {connect: 3s}\n"
    return make_bundle(folder, SMALL | {"app": app})


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (OSError(5, "Input/output error"), "[Errno 5] Input/output error"),
        (RecursionError("too deep"), "a mistake of meshc itself: RecursionError: too deep"),
    ],
)
def test_the_source_is_looked_at_again_whatever_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception, said: str
) -> None:
    async def scene() -> None:
        async with served(make_bundle(tmp_path / "old"), poll=0.05) as server:
            facts, source = server.serving.facts, server.serving.source
            load = source.load
            fails = True

            def failing(previous: Any) -> Any:
                if fails:
                    raise trouble
                return load(previous)

            monkeypatch.setattr(source, "load", failing)
            await until(lambda: facts.problem != "")
            assert facts.problem == said
            assert facts.source_errors > 0

            fails = False
            await until(lambda: facts.problem == "")
            before = facts.switches
            new = await asyncio.to_thread(_changed, tmp_path / "new")
            shutil.rmtree(server.folder)
            shutil.copytree(new, server.folder)
            await until(lambda: facts.switches > before)

    asyncio.run(scene())


def test_what_is_switched_to_half_is_switched_to_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch, fails = Hub.switch, True

    async def failing(hub: Hub, *arguments: Any) -> int:
        if fails:
            raise RuntimeError("half way")
        return await switch(hub, *arguments)

    async def scene(server: Server) -> None:
        nonlocal fails
        async with caller(server.port) as client:
            call = client.stream("front1")
            await call.ask(CLUSTER)
            await call.acknowledge(await call.answer())
            new = await asyncio.to_thread(_changed, tmp_path / "new")
            monkeypatch.setattr(Hub, "switch", failing)
            with pytest.raises(AssertionError):
                await server.put(new)
            fails = False

            assert await server.serving.refresh()

            assert (await call.answer()).resources
            call.cancel()

    async def play() -> None:
        async with served(make_bundle(tmp_path / "old")) as server:
            await scene(server)

    asyncio.run(play())


@pytest.mark.conforms("S11")
def test_a_stream_that_fails_is_ended_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, failed = Stream.publish, False

    def failing(stream: Stream, *arguments: Any) -> list[bytes]:
        nonlocal failed
        if not failed:
            failed = True
            raise KeyError("nobody knows")
        return publish(stream, *arguments)

    async def scene(server: Server) -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, what: told.append(what))
        async with caller(server.port) as client:
            calls = [client.stream("front1") for _ in range(2)]
            for one in calls:
                await one.ask(CLUSTER)
                await one.acknowledge(await one.answer())
            await until(lambda: all(one.state.is_settled for one in server.serving.hub))
            monkeypatch.setattr(Stream, "publish", failing)

            await server.put(await asyncio.to_thread(_changed, tmp_path / "new"))

            ends = [asyncio.ensure_future(one.status()) for one in calls]
            done, _ = await asyncio.wait(ends, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
            assert [one.result()[0] for one in done] == [grpc.StatusCode.INTERNAL]
            [other] = [one for one, end in zip(calls, ends, strict=True) if end not in done]
            assert (await other.answer()).resources
            [what] = told
            assert what["message"] == "the stream of node front1 failed"
            again = client.stream("front1")
            await again.ask(CLUSTER)
            assert (await again.answer()).resources
            for call in (other, again):
                call.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def play() -> None:
        async with served(make_bundle(tmp_path / "old")) as server:
            await scene(server)

    asyncio.run(play())


@pytest.mark.conforms("S4")
def test_a_stream_on_which_nothing_can_be_sent_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, failed = GrpcStream.send_message, False

    async def failing(stream: Any, message: Any) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise KeyError("nobody knows")
        await send(stream, message)

    async def play() -> grpc.StatusCode:
        monkeypatch.setattr(GrpcStream, "send_message", failing)
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            call = client.stream("front1")
            await call.ask(CLUSTER)
            code, _ = await asyncio.wait_for(call.status(), SECONDS)
            again = client.stream("front1")
            await again.ask(CLUSTER)
            assert (await again.answer()).resources
            again.cancel()
            return code

    assert asyncio.run(play()) is grpc.StatusCode.INTERNAL


def test_a_list_of_withdrawn_certificates_that_is_no_text_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_CERTIFICATES_S", 0.02)
    authority = Authority(tmp_path / "all", "all")
    own = authority.issue("server", "IP:127.0.0.1")
    withdrawn = tmp_path / "withdrawn.txt"
    withdrawn.write_text("# nobody\n")
    files = TlsFiles(certificate=own.file, key=own.key, client_ca=authority.file)

    async def scene() -> None:
        bundle = make_bundle(tmp_path)
        async with served(bundle, tls=files, withdrawn=withdrawn) as server:
            facts = server.serving.facts
            withdrawn.write_bytes(b"\xff\xfe")
            await until(lambda: facts.certificate_problem != "")

            withdrawn.write_text("front1\n")
            await until(lambda: facts.certificate_problem == "")
            assert server.serving._gate.withdrawn == {"front1"}  # type: ignore[union-attr]

    asyncio.run(scene())


def _lines(said: io.StringIO, event: str) -> list[str]:
    return [line for line in said.getvalue().splitlines() if f"event={event}" in line]


def test_a_look_that_fails_is_not_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "_LOOK_S", 0.01)
    said = io.StringIO()

    async def scene() -> None:
        async with served(make_bundle(tmp_path)) as server:
            reporter = Reporter(server.serving, Log(said))
            bundles, server.serving.bundles = server.serving.bundles, object()  # type: ignore[assignment]
            server.serving.facts.switches = 1
            watching = asyncio.create_task(reporter.run())
            await until(lambda: bool(_lines(said, '"internal error"')))
            server.serving.bundles = bundles
            server.serving.facts.switches = 2
            await until(lambda: bool(_lines(said, "switched")))
            watching.cancel()

    asyncio.run(scene())


def test_a_loop_that_stands_still_is_logged_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "_LOOK_S", 0.01)
    monkeypatch.setattr(reporting, "STALL_S", 0.3)
    said = io.StringIO()

    async def scene() -> int:
        async with served(make_bundle(tmp_path)) as server:
            watching = asyncio.create_task(Reporter(server.serving, Log(said)).run())
            await asyncio.sleep(0.05)
            time.sleep(0.6)  # noqa: ASYNC251, this is the stall
            await until(lambda: bool(_lines(said, "stalled")))
            watching.cancel()
            return server.serving.facts.stalls

    assert asyncio.run(scene()) >= 1
