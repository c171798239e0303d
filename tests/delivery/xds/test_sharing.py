"""What is equal is encoded once, for all nodes and for the next generation."""

from __future__ import annotations

import gc
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.xds.content.library import Library
from meshc.delivery.xds.content.rewrite import Variant
from meshc.delivery.xds.content.source import DirectorySource
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from meshc.proto import EnvoySchema, load_schema
from tests.delivery.xds.meshes import make_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.delivery.xds.protocol.snapshot import Snapshot


def _mesh(folder: Path, *, hosts: int, app_port: int = 8000) -> Path:
    front = [
        {
            "name": f"front{number}",
            "ingressAddr": {"host": f"10.0.0.{number + 1}", "port": 80},
            "substanceAddr": {"host": "127.0.0.1", "port": 8080},
            "egressHost": "127.0.0.1",
        }
        for number in range(hosts)
    ]
    app = [
        {
            "name": "app1",
            "ingressAddr": {"host": "10.0.1.1", "port": app_port},
            "substanceAddr": {"host": "127.0.0.1", "port": 8080},
        }
    ]
    specs = {
        "mesh": {"name": "shop"},
        "front": {
            "protocol": "HTTP",
            "hosts": front,
            "dependentServices": [{"name": "app", "egressPort": 9001}],
        },
        "app": {"protocol": "HTTP", "hosts": app},
    }
    return make_bundle(folder, {name: json.dumps(one) for name, one in specs.items()})


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of resources in the order in which they are encoded."""
    names: list[str] = []
    encode = EnvoySchema.to_wire

    def counted(self: EnvoySchema, type_url: str, message: dict[str, Any]) -> bytes:
        names.append(message.get("name") or message["cluster_name"])
        return encode(self, type_url, message)

    monkeypatch.setattr(EnvoySchema, "to_wire", counted)
    return names


def _shared(one: Snapshot, other: Snapshot) -> set[str]:
    """Names of resources that are the same object in both."""
    return {
        name
        for kind in (CLUSTER, ENDPOINT, LISTENER, ROUTE)
        for name, resource in one.of(kind).resources.items()
        if other.of(kind).resources.get(name) is resource
    }


def test_nodes_share_all_but_what_is_their_own(tmp_path: Path, encodings: list[str]) -> None:
    out = _mesh(tmp_path / "mesh", hosts=20)
    bundles = DirectorySource(out, Library(load_schema("1.40.0"))).load(None)
    assert bundles is not None

    snapshots = [bundles.snapshot(f"front{number}", Variant.AGGREGATED) for number in range(20)]

    # Each host accepts traffic at an address of its own.
    assert encodings.count("inbound/front") == 20 + 1 + 1  # listeners, their cluster, their routes
    assert encodings.count("outbound/app@front") == 1  # the listener
    assert encodings.count("outbound/app") == 1 + 1  # cluster, routes
    assert encodings.count("app") == 1
    assert _shared(snapshots[0], snapshots[19]) == {
        *("inbound/front", "outbound/app", "app", "outbound/app@front"),
    }
    uses = [bundles.manifest.data["nodes"][f"front{number}"]["uses"] for number in range(20)]
    assert all(one is uses[0] for one in uses)
    # Endpoints and routes come from several files, and are put together once.
    assert snapshots[0].of(ENDPOINT) is snapshots[19].of(ENDPOINT)
    assert snapshots[0].of(ROUTE) is snapshots[19].of(ROUTE)
    assert len(snapshots[0].of(ROUTE).resources) == 2
    assert (
        snapshots[0].of(LISTENER).resources["inbound/front"]
        is not snapshots[19].of(LISTENER).resources["inbound/front"]
    )


def test_a_change_reads_and_encodes_what_it_changes(
    tmp_path: Path, encodings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "served"
    shutil.copytree(_mesh(tmp_path / "old", hosts=20), served)
    source = DirectorySource(served, Library(load_schema("1.40.0")))
    old = source.load(None)
    assert old is not None
    before = [old.snapshot(f"front{number}", Variant.AGGREGATED) for number in range(20)]
    encodings.clear()
    gc.collect()
    shutil.rmtree(served)
    shutil.copytree(_mesh(tmp_path / "new", hosts=20, app_port=8001), served)

    read: list[str] = []
    add = Library.add

    def counted(self: Library, digest: str, *rest: Any) -> Any:
        read.append(digest)
        return add(self, digest, *rest)

    monkeypatch.setattr(Library, "add", counted)

    new = source.load(old)
    assert new is not None
    after = [new.snapshot(f"front{number}", Variant.AGGREGATED) for number in range(20)]

    assert len(read) == 1
    assert encodings == ["app"]
    assert _shared(before[0], after[0]) == {"inbound/front", "outbound/app", "outbound/app@front"}


@pytest.mark.conforms("J8")
def test_what_nobody_holds_is_forgotten(tmp_path: Path) -> None:
    library = Library(load_schema("1.40.0"))
    bundles = DirectorySource(_mesh(tmp_path / "mesh", hosts=2), library).load(None)
    assert bundles is not None

    snapshot = bundles.snapshot("front0", Variant.AGGREGATED)
    held = len(library)
    del snapshot
    gc.collect()

    assert held > 0
    assert len(library) == 0
