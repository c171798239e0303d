"""Compiled bundles over real connections: changes, nodes that go, replicas, damage, the end."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from meshc.delivery.xds.process.metrics import metrics
from meshc.delivery.xds.process.status import describe, overview
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.delivery.xds.conformance.stage import SINGLE, both_variants
from tests.delivery.xds.meshes import APP, SECOND_HOST, SMALL, STORE, make_bundle
from tests.delivery.xds.served import Call, Server, caller, served
from tests.delivery.xds.streams import names_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

_FULL = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
_NAMES: Mapping[str, list[str]] = {
    CLUSTER: [],
    ENDPOINT: ["app", "store"],
    LISTENER: [],
    ROUTE: ["inbound/front", "outbound/app", "outbound/store"],
}
"""What an Envoy of `front` asks for."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a second host of `app`: one endpoint file differs."""
    folder = tmp_path_factory.mktemp("larger")
    return make_bundle(folder, SMALL | {"app": APP + SECOND_HOST})


def _play(
    folder: Path,
    work: Path,
    scene: Callable[[Server, Callable[..., Call]], Awaitable[None]],
) -> None:
    shutil.copytree(folder, work / "served")

    async def run() -> None:
        async with served(work / "served") as server, caller(server.port) as client:
            opened: list[Call] = []

            def stream(node: str = "front1", **how: Any) -> Call:
                opened.append(client.stream(node, **how))
                return opened[-1]

            try:
                await scene(server, stream)
            finally:
                for call in opened:
                    call.cancel()

    asyncio.run(run())


async def _ask(call: Call, type_url: str, *, is_delta: bool, **fields: Any) -> None:
    names = "resource_names_subscribe" if is_delta else "resource_names"
    await call.ask(type_url, **{names: _NAMES[type_url]}, **fields)


async def _taken(call: Call, *, is_delta: bool) -> Any:
    response = await call.answer()
    names = {} if is_delta else {"resource_names": _NAMES[response.type_url]}
    await call.acknowledge(response, **names)
    return response


@pytest.mark.conforms("L5", "J10")
def test_only_the_type_that_changed_is_sent(small: Path, larger: Path, tmp_path: Path) -> None:
    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        call = stream()
        for type_url in _FULL:
            await _ask(call, type_url, is_delta=False)
            await _taken(call, is_delta=False)

        await server.put(larger)

        response = await _taken(call, is_delta=False)
        assert response.type_url == ENDPOINT
        assert len(response.resources) == 1
        assert await call.has_silence()

    _play(small, tmp_path, scene)


@pytest.mark.conforms("K6", "L8")
def test_only_nodes_that_depend_on_a_service_hear_of_it(
    small: Path, larger: Path, tmp_path: Path
) -> None:
    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        front, store = stream("front1", is_delta=True), stream("store1", is_delta=True)
        for call in (front, store):
            for type_url in (CLUSTER, ENDPOINT):
                await call.ask(type_url)
                await call.acknowledge(await call.answer())

        await server.put(larger)

        assert names_in(await front.answer()) == ["app"]
        assert await store.has_silence()

    _play(small, tmp_path, scene)


@pytest.mark.conforms("version", "restart")
@both_variants
def test_a_client_moves_to_another_replica_without_a_word(
    small: Path, larger: Path, tmp_path: Path, *, is_delta: bool
) -> None:
    """Versions are digests: the same on every server, whatever it has served before.

    The first has served the larger bundle only; the second the smaller one before.
    """

    async def run() -> None:
        first_folder, second_folder = tmp_path / "first", tmp_path / "second"
        shutil.copytree(larger, first_folder)
        shutil.copytree(small, second_folder)
        async with (
            served(first_folder) as first,
            served(second_folder) as second,
            caller(first.port) as here,
            caller(second.port) as there,
        ):
            await second.put(larger)
            old = here.stream("front1", is_delta=is_delta)
            new = there.stream("front1", is_delta=is_delta)
            for type_url in _FULL:
                await _ask(old, type_url, is_delta=is_delta)
                response = await _taken(old, is_delta=is_delta)
                if is_delta:
                    known = {one.name: one.version for one in response.resources}
                    brought: dict[str, Any] = {"initial_resource_versions": known}
                else:
                    brought = {"version_info": response.version_info, "response_nonce": "3"}
                await _ask(new, type_url, is_delta=is_delta, **brought)
            assert await new.has_silence()
            await second.put(small)
            changed = await new.answer()
            assert (changed.type_url, len(changed.resources)) == (ENDPOINT, 1)
            for call in (old, new):
                call.cancel()

    asyncio.run(run())


@pytest.mark.conforms("reconnect", "restart")
@both_variants
def test_a_client_that_comes_back_gets_what_is_published_now(
    small: Path, larger: Path, tmp_path: Path, *, is_delta: bool
) -> None:
    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        before = stream(is_delta=is_delta)
        await _ask(before, ENDPOINT, is_delta=is_delta)
        response = await _taken(before, is_delta=is_delta)
        before.cancel()
        await server.put(larger)
        if is_delta:
            known = {one.name: one.version for one in response.resources}
            brought: dict[str, Any] = {"initial_resource_versions": known}
        else:
            brought = {"version_info": response.version_info}

        after = stream(is_delta=is_delta)
        await _ask(after, ENDPOINT, is_delta=is_delta, **brought)

        bodies = [getattr(one, "resource", one).value for one in (await after.answer()).resources]
        assert sum(b"127.0.9.3" in body for body in bodies) == 1
        assert len(bodies) == (1 if is_delta else 2)

    _play(small, tmp_path, scene)


@pytest.mark.conforms("C10", "J7")
def test_a_node_that_leaves_the_mesh_keeps_what_it_has(small: Path, tmp_path: Path) -> None:
    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        call = stream("front1")
        await call.ask(CLUSTER)
        await call.acknowledge(await call.answer())
        rest = make_bundle(tmp_path / "rest", {"app": APP, "store": STORE})

        await server.put(rest)

        assert await call.has_silence()
        (connected,) = server.serving.hub
        assert connected.problem == 'there is no node "front1"'

    _play(small, tmp_path, scene)


@pytest.mark.conforms("one-generation")
def test_a_damaged_bundle_changes_nothing(small: Path, larger: Path, tmp_path: Path) -> None:
    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        call = stream("front1")
        await call.ask(ENDPOINT)
        await call.acknowledge(await call.answer())
        shutil.rmtree(server.folder)
        shutil.copytree(larger, server.folder)
        (server.folder / "services/app/eds.json").write_text("{}")

        assert not await server.serving.refresh()

        assert "is not the file that the manifest names" in server.serving.facts.problem
        assert await call.has_silence()
        shutil.copy(larger / "services/app/eds.json", server.folder / "services/app/eds.json")
        assert await server.serving.refresh()
        assert len((await call.answer()).resources) == 1

    _play(small, tmp_path, scene)


@pytest.mark.conforms("error-detail", "nack")
@both_variants
def test_a_refusal_is_shown_with_the_resource_and_the_line_of_the_spec(
    small: Path, tmp_path: Path, *, is_delta: bool
) -> None:
    reason = "Error adding/updating listener(s) outbound/app@front: cannot bind '127.0.0.1:9001'"

    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        call = stream(is_delta=is_delta)
        await call.ask(LISTENER)
        response = await call.answer()
        await call.ask(LISTENER, response_nonce=response.nonce, error=reason)
        assert await call.has_silence()

        (shown,) = describe(server.serving)["streams"]
        listeners = shown["types"]["LDS"]
        assert shown["node"] == "front1"
        assert (listeners["state"], listeners["reason"]) == ("refused", reason)
        assert listeners["resource"] == "outbound/app@front"
        assert listeners["place"] == "front.yaml:8:3"
        counted = list(metrics({"": overview(server.serving)}))
        assert 'meshc_serve_refusals_total{type="LDS"} 1' in counted
        assert (
            'meshc_serve_refused{type="LDS",resource="outbound/app@front",place="front.yaml:8:3"} 1'
        ) in counted

    _play(small, tmp_path, scene)


@pytest.mark.conforms("S1")
@both_variants
def test_the_end_of_the_server_ends_every_stream(
    small: Path, tmp_path: Path, *, is_delta: bool
) -> None:
    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        opaque = "type.googleapis.com/tests.Thing"
        calls: list[tuple[str, Call]] = [
            (one, stream(method=SINGLE[one], is_delta=is_delta)) for one in SINGLE
        ]
        calls += [(one, stream(is_delta=is_delta)) for one in (CLUSTER, opaque)]
        for type_url, call in calls:
            await call.ask(type_url)
        for type_url, call in calls:
            if is_delta or type_url in _FULL:
                await call.answer()

        await asyncio.wait_for(server.serving.stop(), 5)

        for _, call in calls:
            code, _ = await call.status()
            assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}

    _play(small, tmp_path, scene)


@pytest.mark.conforms("limits")
@both_variants
def test_a_request_that_is_too_large_ends_the_stream(
    small: Path, tmp_path: Path, *, is_delta: bool
) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        for size, is_taken in ((500_000, True), (530_000, False)):
            call = stream(is_delta=is_delta)
            names = "resource_names_subscribe" if is_delta else "resource_names"
            await call.ask(CLUSTER, **{names: ["*", *["x" * 500] * (size // 500)]})
            if is_taken:
                assert len((await call.answer()).resources) == 3
            else:
                assert (await call.status())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED

    _play(small, tmp_path, scene)
