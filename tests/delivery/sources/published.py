"""Publications of two small meshes, and what an agent reads of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.delivery.publish.plan import Bounds
from meshc.delivery.publish.to_directory import Folder
from tests.delivery.publish.bundles import MESH, NOW, Mesh
from tests.delivery.publish.publishing import publish_to

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.delivery.agent.sources import Source

OLD = Mesh({"a": "1", "b": "1"}, {"app": "1", "store": "1"})
NEW = Mesh({"a": "1", "b": "1"}, {"app": "2", "store": "1"})
NODE_KEY = f"meshc/v1/{MESH}/nodes/a"


def publish(folder: Path, mesh: Mesh, now: int = NOW) -> None:
    publish_to(
        Folder(folder), mesh, folder.parent / f"out-{now}", now, bounds=Bounds(may_shrink=True)
    )


def generation(mesh: Mesh) -> str:
    return generation_of(digests_of(mesh.files("a")))


def files(source: Source, known: str | None = None) -> dict[str, bytes] | None:
    bundle = source.fetch(known)
    return None if bundle is None else dict(bundle.files)


def by_digest(files: dict[str, bytes]) -> dict[str, bytes]:
    return {digest: files[path] for path, digest in digests_of(files).items()}
