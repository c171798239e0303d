"""What a bundle says about instances, and bundles that tell different stories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshc.artifact.manifest import file_digest
from meshc.delivery.register.facts import read_mesh_facts
from meshc.delivery.register.host_facts import open_folder
from meshc.diagnostics.errors import BundleError, UnknownNameError
from tests.delivery.register.samples import Mesh, small_mesh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    found = small_mesh(tmp_path, "shop")
    found.put("cache", "app1", "10.0.0.1", 8001)
    found.hosts["db"] = {
        "db1": {"name": "db1", "externalAddr": {"host": "db.example.org", "port": 5432}}
    }
    found.documents["db"] = {"protocol": "TCP"}
    found.build()
    return found


def test_a_mesh_is_read_whole_and_without_hosts_outside_of_it(mesh: Mesh) -> None:
    facts = read_mesh_facts(mesh.out)

    assert facts.mesh == "shop"
    assert [(one.service, one.node) for one in facts.instances] == [
        ("app", "app1"),
        ("app", "app2"),
        ("cache", "app1"),
        ("web", "web1"),
    ]


def test_a_host_is_read_alone(mesh: Mesh) -> None:
    source = open_folder(mesh.out)

    facts = source.facts("app1")

    assert facts.mesh == "shop"
    assert [(one.service, one.node) for one in facts.instances] == [
        ("app", "app1"),
        ("cache", "app1"),
    ]
    assert source.has("web1")
    assert not source.has("db1")


def test_a_host_that_is_not_there_is_named_with_the_nearest(mesh: Mesh) -> None:
    with pytest.raises(UnknownNameError) as refused:
        open_folder(mesh.out).facts("app11")

    assert refused.value.hint == 'did you mean "app1"?'


def test_no_bundle_is_an_error_and_no_empty_mesh(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="missing"):
        read_mesh_facts(tmp_path / "out")
    with pytest.raises(BundleError, match="missing"):
        open_folder(tmp_path / "out").facts("app1")


def edited(mesh: Mesh, path: str, change: Callable[[dict[str, object]], None]) -> None:
    """Change a file as somebody would who keeps digests right."""
    place = mesh.out / path
    before = place.read_bytes()
    content = json.loads(before)
    change(content)
    after = json.dumps(content).encode()
    place.write_bytes(after)
    manifest = mesh.out / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace(file_digest(before), file_digest(after)))


@pytest.mark.parametrize("node", ["app1", "web1"])
def test_a_bundle_that_has_lost_an_instance_is_refused(mesh: Mesh, node: str) -> None:
    """Or the next run would take it for one that has left the mesh."""

    def lose(content: dict[str, object]) -> None:
        assert isinstance(content["instances"], list)
        content["instances"] = [one for one in content["instances"] if one["node"] != node]

    service = {"app1": "app", "web1": "web"}[node]
    edited(mesh, f"services/{service}/instances.json", lose)

    with pytest.raises(BundleError, match=f'contradicts itself about what runs on node "{node}"'):
        read_mesh_facts(mesh.out)
    with pytest.raises(BundleError, match="contradicts itself"):
        open_folder(mesh.out).facts(node)


def test_a_bundle_that_was_changed_by_hand_is_refused(mesh: Mesh) -> None:
    place = mesh.out / "services/app/instances.json"
    place.write_text(place.read_text().replace("10.0.0.1", "10.0.0.9"))

    with pytest.raises(BundleError, match="not the file that the manifest names"):
        read_mesh_facts(mesh.out)


def test_a_bundle_of_an_older_version_is_refused(mesh: Mesh) -> None:
    manifest = mesh.out / "manifest.json"
    content = json.loads(manifest.read_text())
    for line in content["nodes"].values():
        del line["runs"]
    for line in content["services"].values():
        line.pop("instances.json", None)
    manifest.write_text(json.dumps(content))

    with pytest.raises(BundleError, match="contradicts itself"):
        read_mesh_facts(mesh.out)


def test_a_mesh_whose_name_could_be_part_of_a_filter_is_refused(mesh: Mesh) -> None:
    manifest = mesh.out / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"mesh": "shop"', '"mesh": "a\\" or true"'))

    with pytest.raises(BundleError, match="no name of a mesh"):
        read_mesh_facts(mesh.out)
