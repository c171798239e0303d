"""What publishers read and write beside pointers and blobs: index, shards, trash.

    index.json          what is published; written before and after the pointers
    trash/<order>.<n>   blobs that may be in nobody's use since then

The index names 256 shards, blobs themselves, each a list of nodes with digests of what their
pointers say.  A publisher has its own shards at hand, so it reads only what differs: bytes and
calls grow with a change and not with the mesh.

While pointers are being moved the index names the shards concerned as pending.  Whoever finds
some there, after a publisher that was killed, looks at those pointers themselves.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.artifact.published import FORMAT, LAST_ORDER, is_digest
from meshc.artifact.sealed import DamagedError, canonical, known_format, seal, unseal
from meshc.diagnostics.errors import BundleError
from meshc.diagnostics.names import is_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

INDEX = "index"
TRASH = "trash"
LOCK = "lock"

MAX_SHARD = 4 * 1024 * 1024
_TRASH_LINES = 4_500
"""Digests in one trash list: 300 KiB, which a transaction of Consul takes."""
_SHARD_LENGTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What is published.

    Attributes:
        order: Of the publication that wrote this; no pointer has a higher one.
        generation: The build that was published last, all of it.
        nodes: How many there are.
        shards: Shard → digest of its list of nodes; shards without nodes are not there.
        pending: Shards whose pointers are being moved, or may have been.
    """

    mesh: str
    order: int
    generation: str
    nodes: int
    shards: Mapping[str, str] = field(default_factory=dict)
    pending: frozenset[str] = frozenset()


def render_index(index: Index) -> bytes:
    """Write an index."""
    return seal(
        "index",
        {
            "format": FORMAT,
            "mesh": index.mesh,
            "order": index.order,
            "generation": index.generation,
            "nodes": index.nodes,
            "shards": dict(index.shards),
            "pending": sorted(index.pending),
        },
    )


def parse_index(data: bytes, *, mesh: str) -> Index:
    """Read the index of a mesh.

    Raises:
        DamagedError: it is damaged.
        BundleError: it is of another format or of another mesh.
    """
    content = unseal("index", data)
    known_format("index", content, FORMAT)
    try:
        index = Index(
            mesh=str(content["mesh"]),
            order=int(content["order"]),
            generation=str(content["generation"]),
            nodes=int(content["nodes"]),
            shards=dict(content["shards"]),
            pending=frozenset(content["pending"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"the index contradicts itself: {error}") from error
    if index.mesh != mesh:
        raise BundleError(f'the index is of mesh "{index.mesh}", and this is "{mesh}"')
    names = {*index.shards, *index.pending}
    if not all(map(is_digest, index.shards.values())) or not all(map(_is_shard, names)):
        raise DamagedError("the index contradicts itself: it names what is no shard")
    if not 0 < index.order <= LAST_ORDER:
        raise DamagedError("the index contradicts itself: it has no order")
    return index


def _is_shard(name: object) -> bool:
    return isinstance(name, str) and len(name) == _SHARD_LENGTH and is_digest(name * 32)


def shard_of(node: str) -> str:
    """Return the shard of a node."""
    return hashlib.sha256(node.encode()).hexdigest()[:_SHARD_LENGTH]


def shards_of(nodes: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Deal nodes, each with the digest of what its pointer says, out to their shards."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for node, digest in nodes.items():
        found[shard_of(node)][node] = digest
    return dict(found)


def render_shard(nodes: Mapping[str, str]) -> bytes:
    """Write a shard: what its blob holds."""
    return canonical({"format": FORMAT, "nodes": dict(nodes)})


def parse_shard(data: bytes) -> dict[str, str]:
    """Read a shard, whose digest was compared.

    Raises:
        BundleError: it is no shard of ours.
    """
    import json  # noqa: PLC0415, beside its one use

    try:
        content: Any = json.loads(data)
        known_format("shard", content, FORMAT)
        nodes = dict(content["nodes"])
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"a shard is damaged: {error}") from error
    if not all(is_name(node) and is_digest(digest) for node, digest in nodes.items()):
        raise DamagedError("a shard is damaged: it names what is no node")
    return nodes


def render_trash(digests: Iterable[str]) -> Iterator[bytes]:
    """Write lists of blobs that may be in nobody's use, none of them too large."""
    ordered = sorted(digests)
    for start in range(0, len(ordered), _TRASH_LINES):
        yield seal("trash", {"format": FORMAT, "digests": ordered[start : start + _TRASH_LINES]})


def parse_trash(data: bytes) -> frozenset[str]:
    """Read a list of blobs that may be in nobody's use.

    Raises:
        BundleError: it is damaged or of another format.
    """
    content = unseal("trash", data)
    known_format("trash", content, FORMAT)
    digests = content.get("digests")
    if not isinstance(digests, list) or not all(map(is_digest, digests)):
        raise DamagedError("a trash list is damaged: it names what is no blob")
    return frozenset(digests)


def trash_name(order: int, number: int) -> str:
    """Name of a trash list; names sort by order."""
    return f"{order:016d}.{number}"


def trash_order(name: str) -> int | None:
    """Return the order of a trash list, by its name; None where it is none."""
    order, _, number = name.partition(".")
    is_ours = order.isascii() and order.isdecimal() and number.isascii() and number.isdecimal()
    return int(order) if is_ours else None
