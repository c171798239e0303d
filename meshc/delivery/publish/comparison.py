"""Read what is published, as little of it as that takes, and say what has to be done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshc.artifact.manifest import file_digest
from meshc.artifact.publication import (
    MAX_SHARD,
    Index,
    parse_index,
    parse_shard,
    render_shard,
    shard_of,
    shards_of,
)
from meshc.artifact.published import content_digest, parse_pointer, unpack
from meshc.artifact.sealed import DamagedError
from meshc.delivery.publish.place import NODES, blob_at, pointer_at
from meshc.delivery.publish.plan import Changes, changes, differing_shards, next_order
from meshc.diagnostics.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from meshc.artifact.published import Pointer
    from meshc.delivery.publish.local import LocalBundle
    from meshc.delivery.publish.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The difference between what is published and what shall be.

    Attributes:
        old: The index that was found; None: there is none that could be read.
        before: How many nodes were published.
        new: The index as it shall be.
        touched: Shards whose pointers may have to move.
        shards: Blobs of shards that are not there yet, by digest.
        upload: Pieces of files that are not there yet.
        trash: Blobs that may be in nobody's use from now on, also if this is cut off.
    """

    old: Index | None
    before: int
    new: Index
    touched: frozenset[str]
    shards: Mapping[str, bytes]
    changes: Changes
    upload: frozenset[str]
    trash: frozenset[str]

    @property
    def is_nothing(self) -> bool:
        """Whether what is published is what shall be."""
        if self.old is None or self.changes.written or self.changes.removed:
            return False
        return self.old == replace(self.new, order=self.old.order)


def compare(
    bundle: LocalBundle, place: Place, index: bytes | None, *, now_ms: int, again: bool
) -> Work:
    """Compare a bundle with what is published at a place, whose index was read.

    Raises:
        PublishError: what is published there comes from the future.
        BundleError: the bundle is damaged, or the place holds something else.
    """
    old = _index(index, bundle.mesh)
    digests = bundle.digests()
    shards = shards_of(digests)
    texts = {name: render_shard(nodes) for name, nodes in shards.items()}
    names = {name: file_digest(text) for name, text in texts.items()}
    new = Index(
        mesh=bundle.mesh,
        order=next_order(old, now_ms, again=again),
        generation=bundle.generation,
        nodes=len(digests),
        shards=names,
    )
    found = _Found(place, bundle.mesh)
    touched = differing_shards(old, names)
    before = found.all_nodes() if old is None else found.nodes_of(old, touched)
    wanted = {node: digest for name in touched for node, digest in shards.get(name, {}).items()}
    done = changes(before, digests if again else wanted, again=again)
    present = found.pieces_of(before, [*done.written, *done.removed])
    needed = {piece for node in done.written for piece in bundle.pieces(node)}
    upload = frozenset(needed if again else needed - present)
    old_shards = {} if old is None else dict(old.shards)
    fresh = {names[name]: texts[name] for name in names if again or name in touched}
    gone = {digest for name, digest in old_shards.items() if names.get(name) != digest}
    unused = present - needed
    if unused:
        unused -= bundle.used()
    return Work(
        old=old,
        before=len(before) if old is None else old.nodes,
        new=new,
        touched=frozenset({*names} if again else touched) | {shard_of(n) for n in done.removed},
        shards=fresh,
        changes=done,
        upload=upload,
        trash=frozenset(unused | upload | fresh.keys() | gone),
    )


def _index(data: bytes | None, mesh: str) -> Index | None:
    """Read the index; a damaged one counts as missing, so that the next publication mends it."""
    if data is None:
        return None
    try:
        return parse_index(data, mesh=mesh)
    except DamagedError:
        return None


class _Found:
    """What is published at a place; damaged things count as missing."""

    def __init__(self, place: Place, mesh: str) -> None:
        self._place = place
        self._mesh = mesh
        self._pointers: dict[str, Pointer | None] = {}

    def all_nodes(self) -> dict[str, str | None]:
        """Return all nodes that have a pointer, with the digest of what it says."""
        return self._read_nodes(self._place.names(NODES))

    def nodes_of(self, old: Index, shards: Collection[str]) -> dict[str, str | None]:
        """Return the nodes of shards; the lists are asked, and pointers where there are none."""
        listed = {name: old.shards[name] for name in shards if name in old.shards}
        listed = {name: digest for name, digest in listed.items() if name not in old.pending}
        nodes: dict[str, str | None] = {}
        unknown = set(old.pending & frozenset(shards))
        keys = {blob_at(digest): digest for digest in listed.values()}
        texts = {keys[key]: data for key, data in self._place.get(sorted(keys))}
        for name, digest in listed.items():
            entries = _shard(texts.get(digest), digest)
            if entries is None:
                unknown.add(name)
            else:
                nodes |= entries
        if unknown:
            names = [node for node in self._place.names(NODES) if shard_of(node) in unknown]
            nodes |= self._read_nodes(names)
        return nodes

    def _read_nodes(self, nodes: Iterable[str]) -> dict[str, str | None]:
        names = sorted(nodes)
        self._read(names)
        pointers = {node: self._pointers[node] for node in names}
        return {
            node: None if pointer is None else content_digest(pointer)
            for node, pointer in pointers.items()
        }

    def _read(self, nodes: Iterable[str]) -> None:
        keys = {pointer_at(node): node for node in nodes if node not in self._pointers}
        for key, data in self._place.get(sorted(keys)):
            node = keys[key]
            self._pointers[node] = _pointer(data, node, self._mesh)

    def pieces_of(self, known: Mapping[str, str | None], nodes: Iterable[str]) -> set[str]:
        """Return the pieces that the pointers of nodes name, so that they are there.

        A pointer that does not say what the shard's list has it say was put there by somebody
        else, and proves nothing.
        """
        names = [node for node in nodes if known.get(node) is not None]
        self._read(names)
        return {
            piece
            for node in names
            if (pointer := self._pointers[node]) is not None
            and content_digest(pointer) == known[node]
            for file in pointer.files.values()
            for piece in file.pieces
        }


def _pointer(data: bytes | None, node: str, mesh: str) -> Pointer | None:
    if data is None:
        return None
    try:
        return parse_pointer(data, node=node, mesh=mesh)
    except BundleError:
        return None


def _shard(data: bytes | None, digest: str) -> dict[str, str] | None:
    if data is None:
        return None
    try:
        text = unpack(data, limit=MAX_SHARD)
        return parse_shard(text) if file_digest(text) == digest else None
    except BundleError:
        return None
