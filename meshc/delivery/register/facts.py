"""What a bundle says about all instances of a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.artifact.instances import InstanceFacts, parse_instances
from meshc.artifact.store import DirectoryStore
from meshc.artifact.write import no_writer
from meshc.diagnostics.errors import BundleError
from meshc.diagnostics.names import is_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from meshc.artifact.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshFacts:
    """A whole mesh."""

    mesh: str
    generation: str
    instances: tuple[InstanceFacts, ...]


def read_mesh_facts(out: Path) -> MeshFacts:
    """Read what a bundle says about all nodes.

    Raises:
        BundleError: there is none, or it is damaged or contradicts itself.
    """
    store = DirectoryStore(out)
    with no_writer(out):
        manifest = store.manifest()
        instances = tuple(instances_of(store, manifest, sorted(manifest.data["services"])))
    _check_whole(manifest, instances)
    return MeshFacts(
        mesh=mesh_of(manifest.mesh), generation=manifest.generation, instances=instances
    )


def instances_of(
    store: DirectoryStore, manifest: Manifest, services: Iterable[str]
) -> Iterator[InstanceFacts]:
    """Yield what a bundle says about the instances of some services.

    Raises:
        BundleError: a part of it is missing or damaged.
    """
    for service in services:
        if not is_name(service):
            raise BundleError(f"the manifest names {service!r}, which is no service")
        place = manifest.instances_file(service)
        if place is not None:
            yield from parse_instances(store.file(*place), service)


def _check_whole(manifest: Manifest, instances: Iterable[InstanceFacts]) -> None:
    """Refuse a bundle whose parts tell different stories: what is missing would be removed."""
    told: dict[str, set[str]] = {node: set() for node in manifest.nodes}
    for one in instances:
        told.setdefault(one.node, set()).add(one.service)
    for node, services in told.items():
        # A node without services is one of an older version, which did not say what runs where.
        if not services or services != set(manifest.runs(node)):
            raise BundleError(
                f'the bundle contradicts itself about what runs on node "{node}"',
                hint="build again, with this version of meshc",
            )


def mesh_of(name: str) -> str:
    """Return the name of a mesh, which becomes part of names, keys and filters.

    Raises:
        BundleError: it is none.
    """
    if not is_name(name):
        raise BundleError(f"{name!r} is no name of a mesh")
    return name
