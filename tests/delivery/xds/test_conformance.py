"""The protocol over real connections, with a client that is not ours."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from meshc.delivery.xds.types import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    ROUTE,
    RUNTIME,
    SECRET,
    TypeUrl,
)
from tests.delivery.xds.meshes import APP, SECOND_HOST, SMALL, STORE, make_bundle
from tests.delivery.xds.served import Call, Server, caller, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_SINGLE = {
    CLUSTER: "envoy.service.cluster.v3.ClusterDiscoveryService/Clusters",
    ENDPOINT: "envoy.service.endpoint.v3.EndpointDiscoveryService/Endpoints",
    LISTENER: "envoy.service.listener.v3.ListenerDiscoveryService/Listeners",
    ROUTE: "envoy.service.route.v3.RouteDiscoveryService/Routes",
    SECRET: "envoy.service.secret.v3.SecretDiscoveryService/Secrets",
    RUNTIME: "envoy.service.runtime.v3.RuntimeDiscoveryService/Runtime",
    EXTENSION: "envoy.service.extension.v3.ExtensionConfigDiscoveryService/ExtensionConfigs",
}
_FULL = (CLUSTER, ENDPOINT, LISTENER, ROUTE)


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


def _types(response: Any) -> set[str]:
    resources = list(response.resources)
    return {getattr(one, "resource", one).type_url for one in resources}


@pytest.mark.parametrize("is_delta", [False, True], ids=["whole", "delta"])
@pytest.mark.parametrize("type_url", _FULL)
def test_each_service_of_one_type_answers_once(
    small: Path, tmp_path: Path, type_url: TypeUrl, *, is_delta: bool
) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        call = stream(is_delta=is_delta, method=_SINGLE[type_url])
        await call.ask(type_url)
        response = await call.answer()

        assert response.nonce == "1"
        assert response.type_url == type_url
        assert _types(response) == {type_url}
        assert response.system_version_info if is_delta else response.version_info
        assert await call.has_silence()

    _play(small, tmp_path, scene)


@pytest.mark.parametrize("type_url", [SECRET, RUNTIME, EXTENSION])
def test_types_of_which_a_mesh_has_nothing_are_served_without_an_answer(
    small: Path, tmp_path: Path, type_url: TypeUrl
) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        call = stream(method=_SINGLE[type_url])
        await call.ask(type_url, resource_names=["any"])

        assert await call.has_silence()

    _play(small, tmp_path, scene)


@pytest.mark.parametrize("is_delta", [False, True], ids=["whole", "delta"])
def test_one_aggregated_stream_answers_every_type_once(
    small: Path, tmp_path: Path, *, is_delta: bool
) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        call = stream(is_delta=is_delta)
        for type_url in _FULL:  # the node comes with the first request alone
            await call.ask(type_url)
            response = await call.answer()
            assert response.type_url == type_url
            assert len(response.resources) > 0
            await call.acknowledge(response)
        assert await call.has_silence()

    _play(small, tmp_path, scene)


@pytest.mark.parametrize("is_delta", [False, True], ids=["whole", "delta"])
def test_an_aggregated_request_without_a_type_ends_the_stream(
    small: Path, tmp_path: Path, *, is_delta: bool
) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        call = stream(is_delta=is_delta)
        await call.ask("")

        code, details = await call.status()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert details == "type URL is required for aggregated streams"

    _play(small, tmp_path, scene)


def test_another_type_on_a_stream_of_one_type_ends_it(small: Path, tmp_path: Path) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        call = stream(method=_SINGLE[CLUSTER])
        await call.ask(LISTENER)

        code, _ = await call.status()
        assert code is grpc.StatusCode.INVALID_ARGUMENT

    _play(small, tmp_path, scene)


def test_an_unknown_node_is_refused_by_name(small: Path, tmp_path: Path) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        call = stream("front2")
        await call.ask(CLUSTER)

        code, details = await call.status()
        assert code is grpc.StatusCode.NOT_FOUND
        assert details == 'there is no node "front2"'

    _play(small, tmp_path, scene)


def test_a_first_request_without_a_node_is_refused(small: Path, tmp_path: Path) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        call = stream("")
        await call.ask(CLUSTER)

        code, _ = await call.status()
        assert code is grpc.StatusCode.INVALID_ARGUMENT

    _play(small, tmp_path, scene)


def test_an_unknown_type_is_held_without_an_error(small: Path, tmp_path: Path) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        call = stream()
        for number in range(10):
            await call.ask("type.googleapis.com/one.Thing", resource_names=[str(number)])
            await call.ask("type.googleapis.com/other.Thing", resource_names=[str(number)])
        assert await call.has_silence()
        await call.ask(CLUSTER)
        assert (await call.answer()).type_url == CLUSTER

    _play(small, tmp_path, scene)


def test_only_the_type_that_changed_is_sent(small: Path, larger: Path, tmp_path: Path) -> None:
    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        call = stream()
        for type_url in _FULL:
            await call.ask(type_url)
            await call.acknowledge(await call.answer())

        await server.put(larger)

        response = await call.answer()
        assert response.type_url == ENDPOINT
        assert len(response.resources) == 1
        await call.acknowledge(response)
        assert await call.has_silence()

    _play(small, tmp_path, scene)


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

        response = await front.answer()
        assert [one.name for one in response.resources] == ["app"]
        assert await store.has_silence()

    _play(small, tmp_path, scene)


@pytest.mark.parametrize("is_delta", [False, True], ids=["whole", "delta"])
def test_what_a_client_refused_is_not_sent_again(
    small: Path, larger: Path, tmp_path: Path, *, is_delta: bool
) -> None:
    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        call = stream(is_delta=is_delta)
        await call.ask(ENDPOINT)
        first = await call.answer()
        await call.ask(ENDPOINT, response_nonce=first.nonce, error="bad endpoints")
        assert await call.has_silence()

        await server.put(larger)

        changed = await call.answer()
        assert len(changed.resources) == 1

    _play(small, tmp_path, scene)


def test_a_client_moves_to_another_replica_without_a_word(small: Path, tmp_path: Path) -> None:
    """Versions are digests of content, the same on every server and after every restart."""

    async def run() -> None:
        first_folder, second_folder = tmp_path / "first", tmp_path / "second"
        shutil.copytree(small, first_folder)
        shutil.copytree(small, second_folder)
        async with (
            served(first_folder) as first,
            served(second_folder) as second,
            caller(first.port) as here,
            caller(second.port) as there,
        ):
            versions = {}
            names = {CLUSTER: [], LISTENER: [], ENDPOINT: ["app", "store"]}
            old = here.stream("front1")
            for type_url, wanted in names.items():
                await old.ask(type_url, resource_names=wanted)
                response = await old.answer()
                versions[type_url] = response.version_info
                await old.acknowledge(response, resource_names=wanted)
            new = there.stream("front1")
            for type_url, wanted in names.items():
                await new.ask(
                    type_url,
                    resource_names=wanted,
                    version_info=versions[type_url],
                    response_nonce="3",
                )
            assert await new.has_silence()
            old.cancel()
            new.cancel()

    asyncio.run(run())


def test_a_delta_client_comes_back_and_gets_nothing(small: Path, tmp_path: Path) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        before = stream(is_delta=True)
        await before.ask(CLUSTER)
        response = await before.answer()
        known = {one.name: one.version for one in response.resources}
        after = stream(is_delta=True)
        await after.ask(CLUSTER, initial_resource_versions=known)

        assert await after.has_silence()

    _play(small, tmp_path, scene)


def test_a_stale_nonce_is_ignored(small: Path, tmp_path: Path) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        call = stream()
        await call.ask(ENDPOINT, resource_names=["app"])
        first = await call.answer()
        await call.ask(ENDPOINT, resource_names=["app", "store"], response_nonce="xyz")
        assert await call.has_silence()

        await call.acknowledge(first, resource_names=["app", "store"])

        second = await call.answer()
        assert len(second.resources) == 1

    _play(small, tmp_path, scene)


def test_a_slow_reader_keeps_nobody_waiting(small: Path, larger: Path, tmp_path: Path) -> None:
    """It gets the newest state once it reads, and holds one response meanwhile."""

    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        slow, quick = stream("front1"), stream("front1")
        await slow.ask(ENDPOINT)
        await quick.ask(ENDPOINT)
        await quick.acknowledge(await quick.answer())
        for folder in (larger, small, larger):
            await server.put(folder)
            await quick.acknowledge(await quick.answer())

        first = await slow.answer()
        await slow.acknowledge(first)
        second = await slow.answer()
        await slow.acknowledge(second)
        assert await slow.has_silence()
        assert first.version_info != second.version_info

    _play(small, tmp_path, scene)


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


def test_the_end_of_the_server_ends_every_stream(small: Path, tmp_path: Path) -> None:
    async def scene(server: Server, stream: Callable[..., Call]) -> None:
        calls = [stream(method=method) for method in _SINGLE.values()] + [stream()]
        for type_url, call in zip((*_SINGLE, CLUSTER), calls, strict=True):
            await call.ask(type_url, resource_names=[] if type_url in _FULL else ["x"])
        for type_url, call in zip((*_SINGLE, CLUSTER), calls, strict=True):
            if type_url in _FULL:
                await call.answer()

        await server.serving.stop()

        for call in calls:
            code, _ = await call.status()
            assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}

    _play(small, tmp_path, scene)


def test_a_request_that_is_too_large_ends_the_stream(small: Path, tmp_path: Path) -> None:
    async def scene(_server: Server, stream: Callable[..., Call]) -> None:
        call = stream()
        await call.ask(CLUSTER, resource_names=["x" * 70_000])

        code, _ = await call.status()
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED

    _play(small, tmp_path, scene)
