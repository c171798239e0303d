"""What lies in a bundle for the agents of hosts is not served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.artifact.manifest import Manifest
from meshc.delivery.xds.content.bundles import ManifestBundles
from meshc.delivery.xds.content.library import Library
from meshc.proto import load_schema
from tests.delivery.xds.meshes import APP, FRONT, STORE, make_bundle

if TYPE_CHECKING:
    from pathlib import Path


def test_the_rule_beside_endpoints_is_no_resource(tmp_path: Path) -> None:
    follows = FRONT.replace("egressPort: 9001", "egressPort: 9001, health: {from: consul}")
    out = make_bundle(tmp_path, {"front": follows, "app": APP, "store": STORE})
    manifest = Manifest.parse((out / "manifest.json").read_bytes())
    library = Library(load_schema("1.40.0"))
    bundles = ManifestBundles(manifest, lambda path: (out / path).read_bytes(), library)

    served = bundles.files("front1")

    assert "services/app/eds@front.json" in served
    assert set(manifest.node_files("front1")) - set(served) == {
        "bootstrap.json",
        "services/app/health@front.json",
    }
