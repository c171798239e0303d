"""Publications as the source, in a folder and in a real Consul."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from meshc.artifact.published import pointer_path
from meshc.delivery.errors import DeliveryError
from meshc.delivery.publish.local import LocalBundle
from meshc.delivery.publish.to_consul import ConsulPlace
from meshc.delivery.publish.to_directory import Folder
from meshc.delivery.xds.content.library import Library
from meshc.delivery.xds.content.source import open_source
from meshc.delivery.xds.process.asking import ask_status
from meshc.delivery.xds.process.run import Serving
from meshc.delivery.xds.process.status import describe
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from meshc.delivery.xds.settings import ServeSettings
from meshc.delivery.xds.transport.addresses import address
from meshc.proto import load_schema
from tests.consul.gate import Gate
from tests.delivery.live import until
from tests.delivery.publish.publishing import publish_out
from tests.delivery.xds.meshes import APP, SECOND_HOST, SMALL, make_bundle
from tests.delivery.xds.served import Call, caller, free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from meshc.consul.client import ConsulClient
    from meshc.consul.settings import ConsulSettings
    from meshc.delivery.publish.place import Place
    from tests.consul.server import ConsulServer

_SECONDS = 20
_NAMES = ["app", "store"]
_MESH = "served"
_SMALL = SMALL | {"mesh": f"name: {_MESH}\n"}


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same mesh with one host of `app`, and with two; and one without `front`."""
    documents = {
        "small": _SMALL,
        "larger": _SMALL | {"app": APP + SECOND_HOST},
        "rest": {name: text for name, text in _SMALL.items() if name != "front"},
    }
    return {
        name: make_bundle(tmp_path_factory.mktemp(name), some) for name, some in documents.items()
    }


def _publish(bundle: Path, place: Place, *, now: int | None = None) -> None:
    publish_out(place, bundle, now or time.time_ns() // 1_000_000)


@dataclass
class _Scene:
    """A server of a publication, and a client of `front1` that has everything."""

    serving: Serving
    call: Call
    port: int
    answers: list[Any] = field(default_factory=list)

    async def begin(self) -> None:
        for type_url, names in ((CLUSTER, []), (ENDPOINT, _NAMES)):
            await self.call.ask(type_url, resource_names=names)
            self.answers.append(await self.call.answer())
            await self.call.acknowledge(self.answers[-1], resource_names=names)

    async def until(self, is_met: Callable[[], bool]) -> None:
        limit = time.monotonic() + _SECONDS
        while not is_met():
            assert time.monotonic() < limit, describe(self.serving)
            await asyncio.sleep(0.02)

    @property
    def problem(self) -> str:
        return self.serving.facts.problem


def _play(
    source: str,
    scene: Callable[[_Scene], Awaitable[None]],
    *,
    consul: ConsulSettings | None = None,
    poll: float = 0.05,
) -> None:
    async def run() -> None:
        port = free_port()
        settings = ServeSettings(
            source=source,
            consul=consul,
            listen=address(f"127.0.0.1:{port}"),
            tls=None,
            poll=poll,
        )
        library = Library(load_schema("1.40.0"))
        serving = Serving(settings, open_source(settings, library))
        await serving.start()
        try:
            async with caller(port) as client:
                call = client.stream("front1")
                try:
                    found = _Scene(serving, call, port)
                    await found.begin()
                    await scene(found)
                finally:
                    call.cancel()
        finally:
            await serving.stop()

    asyncio.run(run())


@pytest.fixture
def folder(builds: dict[str, Path], tmp_path: Path) -> Path:
    _publish(builds["small"], Folder(tmp_path / "published"))
    return tmp_path / "published"


def test_a_published_folder_is_served_and_only_what_changes_is_sent(
    folder: Path, builds: dict[str, Path]
) -> None:
    async def scene(scene: _Scene) -> None:
        assert [len(one.resources) for one in scene.answers] == [3, 2]

        _publish(builds["larger"], Folder(folder))

        answer = await scene.call.answer()
        assert (answer.type_url, len(answer.resources)) == (ENDPOINT, 1)
        assert b"127.0.9.3" in answer.resources[0].value

    _play(str(folder), scene)


def test_pointers_of_nodes_that_nobody_asks_for_are_not_read(
    folder: Path, builds: dict[str, Path]
) -> None:
    (folder / pointer_path("app1")).write_bytes(b"damaged")

    async def scene(scene: _Scene) -> None:
        _publish(builds["larger"], Folder(folder))
        (folder / pointer_path("app2")).write_bytes(b"damaged")

        assert b"127.0.9.3" in (await scene.call.answer()).resources[0].value
        assert scene.problem == ""

    _play(str(folder), scene)


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("index", "the index is damaged"),
        ("gone", "nothing is published of mesh"),
        ("older", "what is published now is older than what is served"),
    ],
)
def test_an_index_of_no_use_changes_nothing_and_is_shown(
    folder: Path, builds: dict[str, Path], tmp_path: Path, what: str, problem: str
) -> None:
    async def scene(scene: _Scene) -> None:
        index = folder / "index.json"
        good = index.read_bytes()
        if what == "index":
            index.write_bytes(good.replace(b"order", b"0rder"))
        elif what == "gone":
            index.unlink()
        else:
            other = tmp_path / "other"
            _publish(builds["larger"], Folder(other), now=1_764_000_000_000)
            index.write_bytes((other / "index.json").read_bytes())

        await scene.until(lambda: problem in scene.problem)

        assert await scene.call.has_silence()
        index.write_bytes(good)
        await scene.until(lambda: not scene.problem)

    _play(str(folder), scene)


def test_a_generation_with_a_blob_that_is_damaged_is_not_served(
    folder: Path, builds: dict[str, Path]
) -> None:
    async def scene(scene: _Scene) -> None:
        served = scene.serving.bundles
        _publish_damaged(folder, builds["larger"])

        await scene.until(lambda: "blob" in scene.problem)

        assert scene.serving.bundles is served
        assert await scene.call.has_silence()

    _play(str(folder), scene)


def _publish_damaged(folder: Path, bundle: Path) -> None:
    """Publish elsewhere, damage what is new, and move it here with the index last."""
    before = set(folder.rglob("blobs/*/*"))
    other = folder.parent / "elsewhere"
    shutil.copytree(folder, other)
    _publish(bundle, Folder(other))
    for path in other.rglob("blobs/*/*"):
        place = folder / path.relative_to(other)
        if place not in before:
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(path.read_bytes()[:-1])
    for path in other.glob("nodes/*.json"):
        (folder / path.relative_to(other)).write_bytes(path.read_bytes())
    (folder / "index.json").write_bytes((other / "index.json").read_bytes())


class _Halting(Folder):
    """Stops before the last write of the index, which ends a publication."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.last = b""
        self._swaps = 0

    def swap(self, key: str, old: bytes | None, new: bytes) -> None:
        self._swaps += 1
        if self._swaps > 1:
            self.last = new
            raise InterruptedError
        super().swap(key, old, new)


def test_a_publication_that_is_under_way_is_waited_for(
    folder: Path, builds: dict[str, Path]
) -> None:
    async def scene(scene: _Scene) -> None:
        halting = _Halting(folder)
        with pytest.raises(InterruptedError):
            _publish(builds["larger"], halting)

        assert await scene.call.has_silence()

        assert (scene.problem, scene.serving.facts.switches) == ("", 0)
        (folder / "index.json").write_bytes(halting.last)
        assert b"127.0.9.3" in (await scene.call.answer()).resources[0].value

    _play(str(folder), scene)


def test_a_node_that_leaves_a_publication_keeps_what_it_has(
    folder: Path, builds: dict[str, Path]
) -> None:
    async def scene(scene: _Scene) -> None:
        _publish(builds["rest"], Folder(folder))

        def is_gone() -> bool:
            return [one["problem"] for one in describe(scene.serving)["streams"]] == [
                'there is no node "front1"'
            ]

        await scene.until(is_gone)
        assert await scene.call.has_silence()

    _play(str(folder), scene)


@pytest.mark.parametrize("node", ["../index", "nobody", "a/b"])
def test_a_node_that_is_not_published_is_refused(folder: Path, node: str) -> None:
    async def scene(scene: _Scene) -> None:
        async with caller(scene.port) as client:
            call = client.stream(node)
            await call.ask(CLUSTER)
            code, said = await call.status()
            assert (code, said) == (grpc.StatusCode.NOT_FOUND, f'there is no node "{node}"')

    _play(str(folder), scene)


@pytest.fixture
def client(consul_dev: ConsulServer) -> Iterator[ConsulClient]:
    with consul_dev.client() as opened:
        for key in opened.kv_keys(f"meshc/v1/{_MESH}/").value:
            opened.kv_delete(key)
        yield opened


def _remote(consul: ConsulServer, gate: Gate) -> ConsulSettings:
    return replace(consul.settings, address=f"http://{gate.place}")


@pytest.mark.consul
def test_a_mesh_in_consul_is_followed_without_looking_now_and_then(
    consul_dev: ConsulServer, client: ConsulClient, builds: dict[str, Path]
) -> None:
    place = ConsulPlace(client, _MESH)
    _publish(builds["small"], place)

    async def scene(scene: _Scene) -> None:
        await asyncio.to_thread(_publish, builds["larger"], place)

        answer = await scene.call.answer()
        assert (answer.type_url, len(answer.resources)) == (ENDPOINT, 1)
        assert b"127.0.9.3" in answer.resources[0].value

    _play(f"consul:///{_MESH}", scene, consul=consul_dev.settings, poll=3600.0)


@pytest.mark.consul
def test_a_consul_that_is_away_or_emptied_takes_nothing_from_anybody(
    consul_dev: ConsulServer, client: ConsulClient, builds: dict[str, Path]
) -> None:
    place = ConsulPlace(client, _MESH)
    _publish(builds["small"], place)

    with Gate((consul_dev.host, consul_dev.ports["http"])) as gate:

        async def scene(scene: _Scene) -> None:
            served = scene.serving.bundles
            gate.set("gone")
            await scene.until(lambda: scene.problem != "")
            assert await scene.call.has_silence()

            gate.set("pass")
            await scene.until(lambda: scene.problem == "")
            for key in client.kv_keys(f"meshc/v1/{_MESH}/").value:
                client.kv_delete(key)
            await scene.until(lambda: "nothing is published" in scene.problem)
            assert scene.serving.bundles is served
            assert await scene.call.has_silence()

            await asyncio.to_thread(_publish, builds["larger"], place)
            assert b"127.0.9.3" in (await scene.call.answer()).resources[0].value
            assert scene.problem == ""

        _play(f"consul:///{_MESH}", scene, consul=_remote(consul_dev, gate))


@pytest.mark.consul
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_serves_a_mesh_from_consul(
    consul_dev: ConsulServer, client: ConsulClient, builds: dict[str, Path], workers: str
) -> None:
    _publish(builds["small"], ConsulPlace(client, _MESH))
    control = f"127.0.0.1:{free_port()}"
    source = f"consul://{consul_dev.host}:{consul_dev.ports['http']}/{_MESH}"
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "meshc", "serve", "--plaintext", "--source", source),
            *("--listen", f"127.0.0.1:{free_port()}", "--control", control),
            *("--workers", workers),
        ],
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            found: dict[str, Any] = {}

            def is_up() -> bool:
                with contextlib.suppress(DeliveryError):
                    found.update(ask_status(address(control)))
                return bool(found.get("generation"))

            until(is_up, "a server")
            assert found["mesh"] == _MESH
            assert found["generation"] == LocalBundle(builds["small"]).generation
        finally:
            process.terminate()
        assert process.wait(_SECONDS) == 0
