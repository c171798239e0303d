"""A publication as the source: what changes is read by way of the index, for nodes that ask.

The index tells when a publication is complete, and in which of its 256 shards something has
changed; of the nodes in those, the pointers of connected ones are read again, of others none.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from meshc.artifact.publication import parse_index, shard_of
from meshc.artifact.published import (
    FUTURE_MS,
    INDEX_PATH,
    blob_path,
    open_blob,
    parse_pointer,
    piece_sizes,
    pointer_path,
)
from meshc.artifact.sealed import unseal
from meshc.delivery.text import age
from meshc.delivery.xds.content.bundles import NodeBundles, resource_files
from meshc.delivery.xds.content.watching import FolderWatch
from meshc.diagnostics.errors import BundleError, UnknownNameError
from meshc.diagnostics.names import is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Protocol

    from meshc.artifact.publication import Index
    from meshc.artifact.published import Pointer, PublishedFile
    from meshc.delivery.xds.content.bundles import Files
    from meshc.delivery.xds.content.library import Library

    class Place(Protocol):
        """Where a publication lies; whatever it gives is verified by who asked.

        Every method raises MeshcError where the place cannot be read.
        """

        def pointer(self, mesh: str, node: str) -> bytes | None:
            """Return a node's pointer, None where there is none."""

        def blob(self, mesh: str, digest: str) -> bytes | None:
            """Return a blob, None where there is none."""


_MAX_FILE = 64 * 1024 * 1024
_PATIENCE_S = 300.0
"""A publication that takes longer was cut off, and somebody has to publish again."""


class PublishedBundles(NodeBundles):
    """Nodes of one publication, each read when somebody asks for it first."""

    is_remote = True

    def __init__(
        self, index: Index, place: Place, library: Library, previous: NodeBundles | None
    ) -> None:
        super().__init__(library, previous)
        self.index = index
        self.generation = index.generation
        self.mesh = index.mesh
        self._place = place
        self._pointers: dict[str, Pointer] = {}
        self._by_digest: dict[str, PublishedFile] = {}
        self._absent: set[str] = set()
        """Nodes that have left, so that switching those who are connected reads nothing."""
        self._orders: dict[str, int] = {}
        """Nodes → the publication that their last pointer was of."""
        if isinstance(previous, PublishedBundles):
            self._orders |= previous._orders  # noqa: SLF001, one of us
            for node, pointer in list(previous._pointers.items()):  # noqa: SLF001, the same
                if index.shards.get(shard_of(node)) == previous.index.shards.get(shard_of(node)):
                    self._take(node, pointer)

    def has(self, node: str) -> bool:
        """Whether there is such a node."""
        try:
            self._pointer(node)
        except UnknownNameError:
            self._absent.add(node)
            return False
        return True

    def files(self, node: str) -> Files:
        """Return the files of a node that hold resources; raises UnknownNameError."""
        files = self._pointer(node).files
        return resource_files({path: (file.digest, file.digest) for path, file in files.items()})

    def drain_time(self, node: str) -> str:
        """Return what the pointer says."""
        return self._pointer(node).drain_time

    def origins(self, node: str) -> Mapping[str, Any]:
        """Return the origins of a node that was asked for already."""
        known = self._pointers.get(node)
        return {} if known is None else known.origins

    def _pointer(self, node: str) -> Pointer:
        known = self._pointers.get(node)
        if known is not None:
            return known
        is_askable = is_name(node) and node not in self._absent
        data = self._place.pointer(self.mesh, node) if is_askable else None
        if data is None:
            raise UnknownNameError("node", node, ())
        pointer = parse_pointer(data, node=node, mesh=self.mesh)
        if pointer.order < self._orders.get(node, 0):
            raise BundleError(f'the pointer of node "{node}" is older than the one before')
        self._take(node, pointer)
        return pointer

    def _take(self, node: str, pointer: Pointer) -> None:
        for file in pointer.files.values():
            self._by_digest[file.digest] = file
        self._orders[node] = pointer.order
        self._pointers[node] = pointer

    def _read(self, place: str) -> bytes:
        file = self._by_digest[place]
        if file.size > _MAX_FILE:
            raise BundleError(f"a file of the publication is larger than {_MAX_FILE} bytes")
        parts = []
        for digest, size in piece_sizes(file):
            data = self._place.blob(self.mesh, digest)
            if data is None:
                raise BundleError(
                    f"the publication has no blob {digest}, which a pointer names",
                    hint="publish again, all of it: meshc publish … --again",
                )
            parts.append(open_blob(data, digest=digest, size=size))
        return b"".join(parts)


def newer(
    data: bytes | None, mesh: str, place: Place, library: Library, previous: NodeBundles | None
) -> PublishedBundles | None:
    """Return what an index says, None where it is the one before or not complete so far.

    Without one before, an index is taken that a publisher left behind unfinished: each node sees
    its old files or its new ones, and somebody has to publish before that ends.

    Raises:
        BundleError: it is missing, damaged, empty, older than the one before, or incomplete for
            long.
    """
    if data is None:
        raise BundleError(
            f'nothing is published of mesh "{mesh}"' if mesh else "nothing is published there",
            hint="publish first: meshc publish",
        )
    index = parse_index(data, mesh=mesh or str(unseal("index", data).get("mesh")))
    if index.order > time.time() * 1000 + FUTURE_MS:
        raise BundleError("the publication is of a time that is more than a week ahead")
    if not isinstance(previous, PublishedBundles):
        return PublishedBundles(index, place, library, previous)
    if index.order < previous.index.order:
        raise BundleError(
            "what is published now is older than what is served",
            hint="publish once more, with the time of now: meshc publish … --again",
        )
    if not index.nodes and previous.index.nodes:
        raise BundleError("what is published now has no nodes any more")
    since = time.time() - index.order / 1000
    if index.pending and since > _PATIENCE_S:
        raise BundleError(
            f"a publication was begun {age(since)} ago and is not complete",
            hint="publish once more: meshc publish …",
        )
    if index == previous.index or index.pending:
        return None
    return PublishedBundles(index, place, library, previous)


class FolderSource:
    """A published folder."""

    def __init__(self, directory: Path, library: Library) -> None:
        self.directory = directory
        self._library = library
        self._watch = FolderWatch(directory, {INDEX_PATH})

    def load(self, previous: NodeBundles | None) -> PublishedBundles | None:
        """Return the newest complete publication, None where it is the one before."""
        self._watch.follow()
        mesh = "" if previous is None else previous.mesh
        return newer(self._file(INDEX_PATH), mesh, self, self._library, previous)

    def forget(self) -> None:
        """Nothing is remembered."""

    def watch(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` when the folder changes."""
        self._watch.start(notify)

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    def pointer(self, mesh: str, node: str) -> bytes | None:
        """Return a node's pointer, None where there is none."""
        del mesh
        return self._file(pointer_path(node))

    def blob(self, mesh: str, digest: str) -> bytes | None:
        """Return a blob, None where there is none."""
        del mesh
        return self._file(blob_path(digest))

    def _file(self, path: str) -> bytes | None:
        try:
            return (self.directory / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            place = self.directory / path
            raise BundleError(f'cannot read "{place}": {error.strerror}') from error
