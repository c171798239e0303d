"""REST polling: statuses, versions, hostile requests; and a real Envoy that polls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.xds.transport.addresses import address
from tests.delivery.xds.meshes import APP, SECOND_HOST, SMALL, make_bundle
from tests.delivery.xds.served import Server, free_port, polled, served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CLUSTERS = "/v3/discovery:clusters"
_FRONT = {"node": {"id": "front1"}}


def _play(folder: Path, scene: Callable[[int], None], then: Any = None) -> None:
    port = free_port()

    async def run() -> None:
        async with served(folder, rest=address(f"127.0.0.1:{port}")) as server:
            await asyncio.to_thread(scene, port)
            if then is not None:
                await then(server)

    asyncio.run(run())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("mesh"))


@pytest.mark.conforms("S3", "C2", "G1")
@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("clusters", {"inbound/front", "outbound/app", "outbound/store"}),
        ("listeners", {"inbound/front", "outbound/app@front", "outbound/store@front"}),
        ("routes", {"inbound/front", "outbound/app", "outbound/store"}),
        ("endpoints", {"app", "store"}),
        ("secrets", set()),
        ("runtime", set()),
        ("extension_configs", set()),
    ],
)
def test_each_type_is_answered(bundle: Path, path: str, names: set[str]) -> None:
    def scene(port: int) -> None:
        status, found = polled(port, f"/v3/discovery:{path}", _FRONT)

        assert status == 200
        assert {one.get("name") or one["cluster_name"] for one in found["resources"]} == names
        assert found["version_info"]

    _play(bundle, scene)


@pytest.mark.conforms("C2")
def test_a_version_that_the_client_has_is_not_sent_again(bundle: Path) -> None:
    def scene(port: int) -> None:
        _, found = polled(port, _CLUSTERS, _FRONT)

        again = polled(port, _CLUSTERS, _FRONT | {"version_info": found["version_info"]})

        assert again == (304, None)

    _play(bundle, scene)


def test_a_change_gives_another_version(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    versions = []

    def scene(port: int) -> None:
        versions.append(polled(port, "/v3/discovery:endpoints", _FRONT)[1]["version_info"])
        larger = make_bundle(tmp_path / "larger", SMALL | {"app": APP + SECOND_HOST})
        for new in larger.rglob("*.json"):
            place = folder / new.relative_to(larger)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(new.read_bytes())

    async def then(server: Server) -> None:
        assert await server.serving.refresh()
        assert server.serving.settings.rest is not None
        port = server.serving.settings.rest.port
        assert port is not None
        _, found = await asyncio.to_thread(polled, port, "/v3/discovery:endpoints", _FRONT)
        versions.append(found["version_info"])

    _play(folder, scene, then)
    assert len(set(versions)) == 2


def test_names_select(bundle: Path) -> None:
    def scene(port: int) -> None:
        body = _FRONT | {"resource_names": ["store", "nothing"]}

        _, found = polled(port, "/v3/discovery:endpoints", body)

        assert [one["cluster_name"] for one in found["resources"]] == ["store"]

    _play(bundle, scene)


@pytest.mark.conforms("G1", "C2", "unknown-node")
@pytest.mark.parametrize(
    ("path", "body", "method", "status"),
    [
        ("/v3/discovery:nothing", b"{}", "POST", 404),
        ("/", b"{}", "POST", 404),
        (_CLUSTERS, b"", "POST", 400),
        (_CLUSTERS, b"{", "POST", 400),
        (_CLUSTERS, b"[" * 60_000, "POST", 400),
        (_CLUSTERS, b'{"node": {"id": 7}}', "POST", 400),
        (_CLUSTERS, b'{"node": {"id": "front2"}}', "POST", 404),
        (_CLUSTERS, b"x" * 270_000, "POST", 413),
        (_CLUSTERS, b"", "GET", 405),
    ],
)
def test_wrong_requests_are_refused(
    bundle: Path, path: str, body: bytes, method: str, status: int
) -> None:
    def scene(port: int) -> None:
        found, answer = polled(port, path, body, method)

        assert found == status
        assert answer["error"]

    _play(bundle, scene)
