"""The bundle on this machine, as it is to be published."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from meshc.artifact.instances import parse_instances
from meshc.artifact.manifest import file_digest
from meshc.artifact.published import PIECE, Pointer, PublishedFile, content_digest, pieces_of
from meshc.artifact.store import DirectoryStore
from meshc.diagnostics.errors import BundleError
from meshc.diagnostics.names import is_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_ANY_ORDER = 1


class LocalBundle:
    """A bundle in a folder; nobody must write to it meanwhile (`no_writer`).

    Raises BundleError where the bundle is damaged, here and in every method.
    """

    def __init__(self, out: Path) -> None:
        self._store = DirectoryStore(out)
        self.manifest = self._store.manifest()
        self.mesh = self.manifest.mesh
        self.generation = self.manifest.generation
        for name in (self.mesh, *self.manifest.nodes):
            if not is_name(name):
                raise BundleError(f"the manifest names {name!r}, which is no name")
        self._files: dict[str, PublishedFile] = {}
        self._instances = self._instances_by_node()
        self._hosted = self._hosted_by_node()

    def _instances_by_node(self) -> Mapping[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for service in sorted(self.manifest.data["services"]):
            source = self.manifest.instances_file(service)
            if source is not None:
                for facts in parse_instances(self._store.file(*source), service):
                    found[facts.node].append(facts.to_json())
        return found

    def _hosted_by_node(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for service, entry in self.manifest.data["origins"].items():
            for node in entry.get("hosts", ()):
                found[node].append(service)
        return found

    def _origins(self, node: str) -> dict[str, Any]:
        """Return what `origin_of` may ask for on a node; of services elsewhere that is little.

        So a comment in the spec of a service moves the pointers of its hosts, and those of its
        callers only where it moves the service itself.
        """
        origins = self.manifest.data["origins"]
        uses = self.manifest.data["nodes"][node]["uses"]
        found = {
            service: {key: origins[service][key] for key in ("at", "file")}
            for service in uses
            if service in origins
        }
        for service in self._hosted.get(node, ()):
            entry = origins[service]
            found[service] = {**entry, "hosts": {node: entry["hosts"][node]}}
        return found

    def pointer(self, node: str, order: int) -> Pointer:
        """Return what a node has to run."""
        files = self.manifest.node_files(node)
        return Pointer(
            mesh=self.mesh,
            node=node,
            order=order,
            generation=self.generation,
            drain_time=self.manifest.drain_time,
            files={path: self._file(*source) for path, source in files.items()},
            origins=self._origins(node),
            instances=self._instances.get(node, ()),
        )

    def digests(self) -> dict[str, str]:
        """Return for each node the digest of what its pointer says."""
        return {
            node: content_digest(self.pointer(node, _ANY_ORDER)) for node in self.manifest.nodes
        }

    def _file(self, place: str, digest: str) -> PublishedFile:
        known = self._files.get(place)
        if known is not None:
            return known
        size = self._store.size(place)
        pieces: tuple[str, ...] = (digest,)
        if size > PIECE:
            data = self._store.file(place, digest)
            pieces = tuple(file_digest(piece) for piece in pieces_of(data))
        file = PublishedFile(digest=digest, size=size, pieces=pieces)
        self._files[place] = file
        return file

    def pieces(self, node: str) -> Iterator[str]:
        """Yield the digests of the pieces that a node needs."""
        for source in self.manifest.node_files(node).values():
            yield from self._file(*source).pieces

    def used(self) -> frozenset[str]:
        """Return the pieces that any node needs."""
        return frozenset(piece for node in self.manifest.nodes for piece in self.pieces(node))

    def content(self, node: str, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
        """Yield those pieces of a node's files that are wanted, each taken out of ``wanted``."""
        for place, digest in self.manifest.node_files(node).values():
            if wanted.isdisjoint(self._file(place, digest).pieces):
                continue
            for piece in pieces_of(self._store.file(place, digest)):
                name = file_digest(piece)
                if name in wanted:
                    wanted.discard(name)
                    yield name, piece
