"""What a bundle says about one node: in a folder, in a published one, or published in Consul."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from meshc.artifact.instances import InstanceFacts, facts_from_json
from meshc.artifact.layout import MANIFEST
from meshc.artifact.published import (
    INDEX_PATH,
    MAX_POINTER,
    parse_pointer,
    pointer_key,
    pointer_path,
)
from meshc.artifact.store import DirectoryStore
from meshc.delivery.register.facts import instances_of, mesh_of
from meshc.diagnostics.errors import BundleError, UnknownNameError
from meshc.diagnostics.names import is_name

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.artifact.manifest import Manifest
    from meshc.consul.client import ConsulClient


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One node of a mesh."""

    mesh: str
    generation: str
    instances: tuple[InstanceFacts, ...]


class HostSource(Protocol):
    """Where a host reads about itself."""

    def facts(self, node: str) -> NodeFacts:
        """Return what is said about a node; raises UnknownNameError where there is no such node."""

    def has(self, node: str) -> bool:
        """Whether a node is still in the mesh."""


class BundleFolder:
    """A folder as `meshc build` makes it."""

    def __init__(self, folder: Path) -> None:
        self._store = DirectoryStore(folder)
        self._manifest: Manifest | None = None

    def facts(self, node: str) -> NodeFacts:
        """Return what is said about a node."""
        manifest = self._read()
        if node not in manifest.data["nodes"]:
            raise UnknownNameError("node", node, manifest.nodes)
        runs = manifest.runs(node)
        instances = tuple(
            one for one in instances_of(self._store, manifest, runs) if one.node == node
        )
        if not runs or sorted(one.service for one in instances) != sorted(runs):
            raise BundleError(
                f'the bundle contradicts itself about what runs on node "{node}"',
                hint="build again, with this version of meshc",
            )
        return NodeFacts(
            mesh=mesh_of(manifest.mesh), generation=manifest.generation, instances=instances
        )

    def has(self, node: str) -> bool:
        """Whether a node is still in the mesh."""
        return node in self._read().data["nodes"]

    def _read(self) -> Manifest:
        if self._manifest is None:
            self._manifest = self._store.manifest()
        return self._manifest


class PublishedFolder:
    """A folder as `meshc publish dir` makes it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def facts(self, node: str) -> NodeFacts:
        """Return what is said about a node."""
        if not self.has(node):
            raise UnknownNameError("node", node, self._nodes())
        path = self._folder / pointer_path(node)
        try:
            with path.open("rb") as file:
                return _from_pointer(file.read(MAX_POINTER + 1), node)
        except OSError as error:
            raise BundleError(f'cannot read "{path}": {error.strerror}') from error

    def has(self, node: str) -> bool:
        """Whether a node is still in the mesh."""
        return is_name(node) and (self._folder / pointer_path(node)).exists()

    def _nodes(self) -> list[str]:
        found = (self._folder / pointer_path("*")).parent.glob("*.json")
        return sorted(path.stem for path in found)


class ConsulPublication:
    """What `meshc publish consul` wrote."""

    def __init__(self, client: ConsulClient, mesh: str) -> None:
        self._client = client
        self._mesh = mesh

    def facts(self, node: str) -> NodeFacts:
        """Return what is said about a node."""
        found = self._client.kv_get(pointer_key(self._mesh, node)).value
        if found is None:
            raise UnknownNameError("node", node, ())
        return _from_pointer(found.value, node, self._mesh)

    def has(self, node: str) -> bool:
        """Whether a node is still in the mesh."""
        key = pointer_key(self._mesh, node)
        return is_name(node) and self._client.kv_get(key).value is not None


def open_folder(folder: Path) -> HostSource:
    """Return a folder of either kind as a source."""
    is_published = (folder / INDEX_PATH).exists() and not (folder / MANIFEST).exists()
    return PublishedFolder(folder) if is_published else BundleFolder(folder)


def _from_pointer(data: bytes, node: str, mesh: str | None = None) -> NodeFacts:
    pointer = parse_pointer(data, node=node, mesh=mesh)
    instances = tuple(facts_from_json(one) for one in pointer.instances)
    if not instances or any(one.node != node for one in instances):
        raise BundleError(
            f'the publication does not say what runs on node "{node}"',
            hint="publish again, with this version of meshc",
        )
    return NodeFacts(mesh=mesh_of(pointer.mesh), generation=pointer.generation, instances=instances)
