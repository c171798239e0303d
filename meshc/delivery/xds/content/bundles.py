"""One generation of a bundle as snapshots of its nodes, made when somebody asks for them."""

from __future__ import annotations

import abc
import contextlib
import functools
import weakref
from typing import TYPE_CHECKING, Any

from meshc.artifact.layout import BOOTSTRAP, is_health_path
from meshc.artifact.manifest import drain_seconds, file_digest
from meshc.delivery.xds.content.library import read_resources
from meshc.delivery.xds.content.rewrite import Variant, rewritten
from meshc.delivery.xds.protocol.snapshot import Snapshot
from meshc.delivery.xds.protocol.types import SHORT_NAMES
from meshc.diagnostics.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meshc.artifact.manifest import Manifest
    from meshc.delivery.xds.content.library import FileResources, Library
    from meshc.delivery.xds.protocol.types import TypeUrl

_VERSION_LENGTH = 32
_MOST_NAMES = 256
"""Of files; a bundle has a dozen."""

Files = dict[str, tuple[str, str]]
"""Path on the host → (path in the bundle, digest)."""


class NodeBundles(abc.ABC):
    """Nodes of one generation.

    ``previous`` is the generation before: nodes and files that are the same are taken over, so
    that a change costs what it changes.
    """

    generation: str
    mesh: str
    is_remote = False
    """Whether reading may take long, so that it must not hold everybody else up."""

    def __init__(self, library: Library, previous: NodeBundles | None) -> None:
        self._library = library
        self._snapshots: weakref.WeakValueDictionary[tuple[str, Variant], Snapshot] = (
            weakref.WeakValueDictionary()
        )
        self._previous = previous
        self._held: list[Snapshot] = []

    @abc.abstractmethod
    def has(self, node: str) -> bool:
        """Whether there is such a node."""

    @abc.abstractmethod
    def files(self, node: str) -> Files:
        """Return the files of a node that hold resources; raises UnknownNameError."""

    @abc.abstractmethod
    def drain_time(self, node: str) -> str:
        """How long a replaced listener of a node may live, as Envoy writes durations."""

    @abc.abstractmethod
    def origins(self, node: str) -> Mapping[str, Any]:
        """Return what `origin_of` reads about a node."""

    @abc.abstractmethod
    def _read(self, place: str) -> bytes:
        """Return a file; raises BundleError where there is none."""

    def is_held(self, node: str, variant: Variant) -> bool:
        """Whether the snapshot is at hand, so that asking for it reads nothing."""
        return (node, variant) in self._snapshots

    def hold(self, node: str, variant: Variant) -> None:
        """Make the snapshot of a node that changes, and keep it until `settle`."""
        known = self._snapshots.get((node, variant)) or self._made(node, variant)
        self._snapshots[node, variant] = known
        self._held.append(known)

    def snapshot(self, node: str, variant: Variant) -> Snapshot:
        """Return a node's resources; the same object as long as nothing of it changes."""
        known = self._snapshots.get((node, variant)) or self._taken_over(node, variant)
        if known is None:
            known = self._made(node, variant)
        self._snapshots[node, variant] = known
        return known

    def documents(
        self, node: str, type_url: TypeUrl, names: frozenset[str], known: str
    ) -> tuple[str, list[Any]]:
        """Return a node's resources of a type as JSON, with their version; none where it is known.

        No names are all names.  Read anew each time: who polls is rare, and asks in vain mostly.
        """
        files = {
            digest: place
            for path, (place, digest) in self.files(node).items()
            if type_of(path) == type_url
        }
        wanted = "\n".join([*sorted(files), "", *sorted(names)])
        version = file_digest(wanted.encode())[:_VERSION_LENGTH]
        if version == known:
            return version, []
        found = []
        for digest, place in files.items():
            for resource in read_resources(self._verified(place, digest)):
                name = resource.get("cluster_name") or resource.get("name")
                if not names or name in names:
                    found.append(rewritten(resource, Variant.REST))
        return version, found

    def settle(self) -> None:
        """Forget the generation before, once everybody has been switched."""
        self._previous = None
        self._held.clear()

    def _taken_over(self, node: str, variant: Variant) -> Snapshot | None:
        previous = self._previous
        known = None if previous is None else previous._snapshots.get((node, variant))  # noqa: SLF001, one of us
        if known is None or previous is None or previous.files(node) != self.files(node):
            return None
        if previous.drain_time(node) != self.drain_time(node):
            return None
        return known

    def _made(self, node: str, variant: Variant) -> Snapshot:
        by_type: dict[TypeUrl, list[FileResources]] = {}
        for path, (place, digest) in self.files(node).items():
            file = self._file(place, digest, type_of(path), variant)
            by_type.setdefault(file.type_url, []).append(file)
        return Snapshot(
            node=node,
            generation=self.generation,
            types={
                type_url: self._library.union(tuple(files)) for type_url, files in by_type.items()
            },
            drain_s=drain_seconds(self.drain_time(node)),
            parts=tuple(file for files in by_type.values() for file in files),
        )

    def _file(self, place: str, digest: str, type_url: TypeUrl, variant: Variant) -> FileResources:
        known = self._library.known(digest, variant)
        if known is not None:
            return known
        return self._library.add(digest, self._verified(place, digest), type_url, variant)

    def _verified(self, place: str, digest: str) -> bytes:
        data = self._read(place)
        if file_digest(data) != digest:
            raise BundleError(f'"{place}" is not the file that the manifest names')
        return data


class ManifestBundles(NodeBundles):
    """Nodes of a bundle with a manifest."""

    def __init__(
        self,
        manifest: Manifest,
        read: Callable[[str], bytes],
        library: Library,
        previous: NodeBundles | None = None,
    ) -> None:
        super().__init__(library, previous)
        self.manifest = manifest
        self.generation = manifest.generation
        self.mesh = manifest.mesh
        self._reader = read
        _share_uses(manifest)

    def has(self, node: str) -> bool:
        """Whether there is such a node."""
        return node in self.manifest.data["nodes"]

    def files(self, node: str) -> Files:
        """Return the files of a node that hold resources; raises UnknownNameError."""
        return resource_files(self.manifest.node_files(node))

    def drain_time(self, node: str) -> str:
        """Return the drain time of the mesh."""
        del node
        return self.manifest.drain_time

    def origins(self, node: str) -> Mapping[str, Any]:
        """Return all origins."""
        del node
        origins: Mapping[str, Any] = self.manifest.data["origins"]
        return origins

    def _read(self, place: str) -> bytes:
        return self._reader(place)


def _share_uses(manifest: Manifest) -> None:
    """Keep once what nodes of the same services use: of a large mesh, that is most of it."""
    known: dict[Any, Any] = {}
    for entry in manifest.data["nodes"].values():
        with contextlib.suppress(KeyError, TypeError, AttributeError):  # said when it is asked for
            uses = entry["uses"]
            key = tuple((service, *names) for service, names in uses.items())
            entry["uses"] = known.setdefault(key, uses)


def resource_files(files: Files) -> Files:
    """Return those of the files of a node that hold resources."""
    return {
        path: file for path, file in files.items() if path != BOOTSTRAP and not is_health_path(path)
    }


@functools.lru_cache(_MOST_NAMES)
def _type_of_name(name: str) -> TypeUrl | None:
    for type_url, short in SHORT_NAMES.items():
        if name.startswith(short.lower()):
            return type_url
    return None


def type_of(path: str) -> TypeUrl:
    """Return the type of the resources in a file of a node, which its name starts with."""
    found = _type_of_name(path.rpartition("/")[2])
    if found is None:
        raise BundleError(f'"{path}" holds no resources of a known type')
    return found


def changed_nodes(old: NodeBundles, new: NodeBundles, nodes: Iterable[str]) -> set[str]:
    """Return those of the nodes that have other files than before, or none before or now."""
    return {
        node
        for node in nodes
        if not old.has(node) or not new.has(node) or old.files(node) != new.files(node)
    }
