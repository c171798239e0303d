"""Secrets, runtime and extensions in files of a node: served as all else, also to a real Envoy.

Nothing is built with such files so far, so they are added to a bundle here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from meshc.delivery.xds.bootstrap import Subscribing
from meshc.delivery.xds.protocol.types import CLUSTER, EXTENSION, RUNTIME, SECRET
from meshc.delivery.xds.transport.addresses import address
from meshc.proto import load_schema
from tests.consul.authority import Authority
from tests.delivery.live import until, upstream
from tests.delivery.xds.conformance.stage import SINGLE, both_variants
from tests.delivery.xds.live import HOST, Mesh, envoy_on, server_of
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import ADS, Caller, caller, free_port, polled, served

if TYPE_CHECKING:
    from pathlib import Path

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_AGGREGATED = f"{ADS}/AggregatedResources"
_FILES = {"sds": SECRET, "rtds": RUNTIME, "ecds": EXTENSION}


def _extended(out: Path, *, service: str, **files: list[dict[str, Any]]) -> Path:
    """Put files of a service into a bundle, for `front1`, whose cluster gets its certificate so."""
    manifest = json.loads((out / "manifest.json").read_text())
    node = manifest["nodes"]["front1"]
    for kind, resources in files.items():
        name = f"{kind}.json"
        found = [{"@type": _FILES[kind], **one} for one in resources]
        path = out / "services" / service / name
        path.write_text(json.dumps({"resources": found}))
        manifest["services"][service][name] = hashlib.sha256(path.read_bytes()).hexdigest()
        node["uses"][service].append(name)
    path = out / "nodes/front1/cds.json"
    clusters = json.loads(path.read_text())
    (cluster,) = [one for one in clusters["resources"] if one["name"] == f"outbound/{service}"]
    place = {"path_config_source": {"path": f"./services/{service}/sds.json"}}
    config = {"name": "own", "sds_config": place | {"resource_api_version": "V3"}}
    cluster["transport_socket"] = {
        "name": "tls",
        "typed_config": {
            "@type": _TLS,
            "common_tls_context": {"tls_certificate_sds_secret_configs": [config]},
        },
    }
    path.write_text(json.dumps(clusters))
    node["cds.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest["generation"] = hashlib.sha256(json.dumps(manifest).encode()).hexdigest()
    (out / "manifest.json").write_text(json.dumps(manifest))
    return out


def _secret(text: str) -> dict[str, Any]:
    return {"name": "own", "generic_secret": {"secret": {"inline_string": text}}}


def _bundle(folder: Path) -> Path:
    extension = {"name": "last", "typed_config": {"@type": _ROUTER}}
    return _extended(
        make_bundle(folder),
        service="app",
        sds=[_secret("one")],
        rtds=[{"name": "layer", "layer": {"a": 1}}],
        ecds=[extension],
    )


async def _only(client: Caller, type_url: str, name: str, method: str, *, is_delta: bool) -> bytes:
    """Ask for one resource by name; return its bytes."""
    call = client.stream("front1", is_delta=is_delta, method=method)
    names = "resource_names_subscribe" if is_delta else "resource_names"
    await call.ask(type_url, **{names: [name]})
    (found,) = (await call.answer()).resources
    call.cancel()
    body: bytes = getattr(found, "resource", found).value
    return body


@pytest.mark.conforms("S2", "D2", "S6")
@both_variants
def test_each_type_is_served_from_its_file(tmp_path: Path, *, is_delta: bool) -> None:
    schema = load_schema("1.40.0")
    wanted = {
        SECRET: ("own", _secret("one")),
        RUNTIME: ("layer", {"name": "layer", "layer": {"a": 1}}),
        EXTENSION: ("last", {"name": "last", "typed_config": {"@type": _ROUTER}}),
    }

    async def scene() -> None:
        async with served(_bundle(tmp_path)) as server, caller(server.port) as client:
            for type_url, (name, resource) in wanted.items():
                for method in (SINGLE[type_url], _AGGREGATED):
                    found = await _only(client, type_url, name, method, is_delta=is_delta)
                    assert found == schema.to_wire(type_url, resource)

    asyncio.run(scene())


@both_variants
def test_a_certificate_comes_the_way_its_cluster_came(tmp_path: Path, *, is_delta: bool) -> None:

    async def scene() -> tuple[bytes, bytes]:
        async with served(_bundle(tmp_path)) as server, caller(server.port) as client:
            one, other = [
                await _only(client, CLUSTER, "outbound/app", method, is_delta=is_delta)
                for method in (_AGGREGATED, SINGLE[CLUSTER])
            ]
            return one, other

    aggregated, single = asyncio.run(scene())
    assert b"./services" not in aggregated + single
    # One `ConfigSource` of endpoints, one of the certificate: ads (field 3) and V3 (field 6).
    assert aggregated.count(b"\x1a\x00\x30\x02") == 2
    assert single.count(b"\x1a\x00\x30\x02") == 0


def test_secrets_can_be_polled(tmp_path: Path) -> None:
    port = free_port()

    async def scene() -> tuple[int, Any]:
        async with served(_bundle(tmp_path), rest=address(f"127.0.0.1:{port}")):
            return await asyncio.to_thread(
                polled, port, "/v3/discovery:secrets", {"node": {"id": "front1"}}
            )

    status, found = asyncio.run(scene())
    assert status == 200
    assert found["resources"] == [{"@type": SECRET, **_secret("one")}]


def test_a_file_of_an_unknown_type_is_no_bundle(tmp_path: Path) -> None:
    out = _bundle(tmp_path)
    text = (out / "manifest.json").read_text().replace('"rtds.json"', '"vhds.json"')
    (out / "manifest.json").write_text(text)

    async def scene() -> tuple[grpc.StatusCode, str]:
        async with served(out) as server, caller(server.port) as client:
            call = client.stream("front1")
            await call.ask(CLUSTER)
            return await call.status()

    assert asyncio.run(scene()) == (
        grpc.StatusCode.UNAVAILABLE,
        '"services/app/vhds.json" holds no resources of a known type',
    )


def _held(admin: Any) -> dict[str, str]:
    """Certificates that an Envoy has from its server: name → version."""
    dump = json.loads(admin._ask("/config_dump?resource=dynamic_active_secrets"))
    return {one["name"]: one["version_info"] for one in dump["configs"]}


@pytest.mark.envoy
@pytest.mark.parametrize("subscribing", [Subscribing.ADS, Subscribing.DELTA_ADS])
def test_an_envoy_gets_a_certificate_and_its_successor(
    tmp_path: Path, subscribing: Subscribing
) -> None:
    authority = Authority(tmp_path / "all", "all")
    mesh = Mesh(tmp_path)

    def state(name: str, at: tuple[str, int]) -> Path:
        own = authority.issue(name, "DNS:front1")
        texts = {"certificate_chain": own.file, "private_key": own.key}
        secret = {key: {"inline_string": file.read_text()} for key, file in texts.items()}
        resource = {"name": "own", "tls_certificate": secret}
        return _extended(mesh.build([at]), service="app", sds=[resource])

    with upstream(HOST, "one") as one:
        first, second = state("first", one), state("second", one)
        shutil.copytree(first, tmp_path / "served")
        with (
            server_of(tmp_path / "served") as running,
            envoy_on(
                tmp_path / "envoy",
                first,
                mesh.admin,
                running.port(subscribing),
                subscribing=subscribing,
            ) as admin,
        ):
            until(lambda: "own" in _held(admin), "the certificate")
            before = _held(admin)["own"]

            running.put(second)

            until(lambda: _held(admin)["own"] != before, "the next certificate")
            (stream,) = running.status()["streams"]
            assert stream["types"]["SDS"]["state"] == "acknowledged"
