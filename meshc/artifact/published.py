"""What a host reads of a publication: one small pointer of its own, and the content it names.

    nodes/<node>.json     the node's pointer: digests of its files; moves last
    blobs/<xx>/<digest>   content by digest, compressed; shared by all nodes that use the same

A file is cut into pieces that fit into a value of Consul's KV even where nothing compresses; a
file of one piece has the digest of that piece.  In the KV the same lies below ``meshc/v1/<mesh>/``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.artifact.layout import NODE_FILES, is_host_path
from meshc.artifact.sealed import canonical, known_format, seal, unseal
from meshc.diagnostics.errors import BundleError
from meshc.diagnostics.names import is_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FORMAT = 1
INDEX_PATH = "index.json"
"""Where a published folder says what is published; only publishers read it."""
PIECE = 448 * 1024
"""Largest piece of a file, before it is compressed."""
MAX_BLOB = PIECE + PIECE // 1000 + 64
"""What compressing can make of a piece at worst."""
MAX_POINTER = 320 * 1024
"""Largest pointer, as it is stored: in a transaction it is a third larger."""
MAX_INFLATED = 4 * 1024 * 1024
"""Largest pointer, as it is read; one of a node with ten thousand files."""
LAST_ORDER = 1 << 53
"""Orders are whole numbers that every JSON reader can hold."""

FUTURE_MS = 7 * 24 * 3_600_000
"""A publication from further ahead is taken for a mistake, by publishers and by agents."""

_PLAIN_POINTER = 16 * 1024
_HEX, _DIGEST_LENGTH = frozenset("0123456789abcdef"), 64
_ROOT = "meshc/v1"


def is_digest(text: object) -> bool:
    """Whether a value is a SHA-256 in hex."""
    return isinstance(text, str) and len(text) == _DIGEST_LENGTH and _HEX.issuperset(text)


def pointer_path(node: str) -> str:
    """Where a node's pointer lies in a published folder."""
    return f"nodes/{node}.json"


def blob_path(digest: str) -> str:
    """Where a piece of content lies in a published folder."""
    return f"blobs/{digest[:2]}/{digest}"


def mesh_key(mesh: str, name: str) -> str:
    """Key of something of a mesh in Consul's KV.

    Raises:
        BundleError: the mesh has no name that could be part of a key.
    """
    if not is_name(mesh):
        raise BundleError(f"{mesh!r} is no name of a mesh")
    return f"{_ROOT}/{mesh}/{name}"


def pointer_key(mesh: str, node: str) -> str:
    """Key of a node's pointer in Consul's KV."""
    if not is_name(node):
        raise BundleError(f"{node!r} is no name of a node")
    return mesh_key(mesh, f"nodes/{node}")


def blob_key(mesh: str, digest: str) -> str:
    """Key of a piece of content in Consul's KV."""
    return mesh_key(mesh, f"blobs/{digest}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """A file of a node; ``pieces`` are the digests of its parts, in order."""

    digest: str
    size: int
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What a node has to run.

    Attributes:
        order: When it was published, in milliseconds since 1970; orders publications.
        generation: The build that it came with.
        files: Path on the host → file.
        origins: What `origin_of` reads, for this node alone.
        instances: The services' instances on this node, as registration needs them.
    """

    mesh: str
    node: str
    order: int
    generation: str
    drain_time: str
    files: Mapping[str, PublishedFile]
    origins: Mapping[str, Any] = field(default_factory=dict)
    instances: Sequence[Mapping[str, Any]] = ()


def content_digest(pointer: Pointer) -> str:
    """Name what a pointer says; when it was published, and with what else, is no part of that."""
    return hashlib.sha256(canonical(_content(pointer))).hexdigest()


def render_pointer(pointer: Pointer) -> bytes:
    """Write a pointer as it is stored.

    Raises:
        BundleError: the node has too many files.
    """
    said = {"order": pointer.order, "generation": pointer.generation}
    text = seal("pointer", _content(pointer) | said)
    if len(text) > _PLAIN_POINTER:
        text = pack(text)
    if len(text) > MAX_POINTER:
        raise BundleError(
            f'node "{pointer.node}" has {len(pointer.files):,} files, too many for one pointer',
            hint="let it depend on fewer services",
        )
    return text


def _content(pointer: Pointer) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "mesh": pointer.mesh,
        "node": pointer.node,
        "drain_time": pointer.drain_time,
        "files": {path: _described(file) for path, file in pointer.files.items()},
        "origins": pointer.origins,
        "instances": list(pointer.instances),
    }


def _described(file: PublishedFile) -> dict[str, Any]:
    described: dict[str, Any] = {"digest": file.digest, "size": file.size}
    if file.pieces != (file.digest,):
        described["pieces"] = list(file.pieces)
    return described


def parse_pointer(data: bytes, *, node: str, mesh: str | None = None) -> Pointer:
    """Read the pointer of a node, and of a mesh where that is known.

    Raises:
        BundleError: it is damaged, of another format, incomplete, or somebody else's.
    """
    if not data.startswith(b"{"):
        data = unpack(data, limit=MAX_INFLATED)
    content = unseal("pointer", data)
    known_format("pointer", content, FORMAT)
    try:
        pointer = Pointer(
            mesh=str(content["mesh"]),
            node=str(content["node"]),
            order=_order(content["order"]),
            generation=str(content["generation"]),
            drain_time=str(content["drain_time"]),
            files={path: _file(path, entry) for path, entry in content["files"].items()},
            origins=dict(content["origins"]),
            instances=tuple(dict(one) for one in content["instances"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"the pointer contradicts itself: {error}") from error
    if pointer.node != node or mesh not in {None, pointer.mesh}:
        raise BundleError(
            f'the pointer is of node "{pointer.node}" of mesh "{pointer.mesh}", and this is '
            f'"{node}"' + (f' of "{mesh}"' if mesh else "")
        )
    if missing := [name for name in NODE_FILES if name not in pointer.files]:
        raise BundleError(f'the pointer names no "{missing[0]}", without which no Envoy starts')
    return pointer


def _order(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LAST_ORDER:
        raise ValueError("its order is no number of milliseconds")
    return value


def _file(path: str, entry: Mapping[str, Any]) -> PublishedFile:
    if not is_host_path(path):
        raise ValueError(f"{path!r} is no file of a node")
    digest, size = entry["digest"], entry["size"]
    pieces = tuple(entry.get("pieces", (digest,)))
    if not all(map(is_digest, (digest, *pieces))):
        raise ValueError(f'it gives no digest for "{path}"')
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f'it gives no size for "{path}"')
    if len(pieces) != max(1, -(-size // PIECE)):
        raise ValueError(f'"{path}" has {size} bytes in {len(pieces)} pieces')
    return PublishedFile(digest=digest, size=size, pieces=pieces)


def pieces_of(data: bytes) -> Iterator[bytes]:
    """Cut a file into its pieces; an empty file has one, an empty one."""
    for start in range(0, max(1, len(data)), PIECE):
        yield data[start : start + PIECE]


def piece_sizes(file: PublishedFile) -> Iterator[tuple[str, int]]:
    """Yield the digest and the exact size of each piece."""
    for number, digest in enumerate(file.pieces):
        yield digest, min(PIECE, file.size - number * PIECE)


def pack(data: bytes) -> bytes:
    """Compress."""
    import zlib  # noqa: PLC0415, a host whose source is plain files needs none

    return zlib.compress(data, 6)


def unpack(data: bytes, *, limit: int) -> bytes:
    """Inflate to at most ``limit`` bytes; nothing larger is ever made.

    Raises:
        BundleError: it is no compressed data, holds more than that, or has something behind it.
    """
    import zlib  # noqa: PLC0415, as above

    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise BundleError(f"it is damaged: {error}") from error
    if len(plain) > limit:
        raise BundleError(f"it is damaged: it inflates to more than {limit} bytes")
    if not inflater.eof or inflater.unused_data:
        raise BundleError("it is damaged: it ends too early or too late")
    return plain


def open_blob(data: bytes, *, digest: str, size: int) -> bytes:
    """Return the piece in a blob.

    Raises:
        BundleError: it is not the piece that the pointer names.
    """
    if len(data) > MAX_BLOB:
        raise BundleError(f"blob {digest} is damaged: it has {len(data)} bytes")
    try:
        plain = unpack(data, limit=size)
    except BundleError as error:
        raise BundleError(f"blob {digest}: {error.message}") from error
    if len(plain) != size or hashlib.sha256(plain).hexdigest() != digest:
        raise BundleError(f"blob {digest} is damaged: it holds something else")
    return plain
