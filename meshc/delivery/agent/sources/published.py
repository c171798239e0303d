"""Read one node out of a publication: its pointer, and the blobs that this host does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.artifact.manifest import file_digest
from meshc.artifact.published import open_blob, parse_pointer, piece_sizes
from meshc.artifact.store import NodeBundle
from meshc.delivery.agent.generations import generation_of
from meshc.delivery.agent.sources import SourceError
from meshc.diagnostics.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.artifact.published import Pointer, PublishedFile

_AGAIN = "publish again, all of it: meshc publish … --again"


def pointer_from(data: bytes, node: str, mesh: str | None = None) -> Pointer:
    """Read a node's pointer.

    Raises:
        SourceError: it is damaged, or somebody else's.
    """
    try:
        return parse_pointer(data, node=node, mesh=mesh)
    except BundleError as error:
        raise SourceError(
            f"the pointer of this node cannot be used: {error.message}",
            hint=error.hint or _AGAIN,
        ) from error


def read_published(
    pointer: Pointer,
    known: str | None,
    *,
    held: Callable[[str], bytes | None],
    blob: Callable[[str], bytes],
    max_file: int,
) -> NodeBundle | None:
    """Return what a pointer says; None where it is the generation ``known``.

    Args:
        pointer: The node's pointer.
        known: A generation that need not be read again.
        held: Returns a file that is on this host already, by its digest.
        blob: Returns the content of a blob, by its digest.
        max_file: Bytes that a file may have.

    Raises:
        SourceError: a file is too large, or a blob is not what the pointer names.
    """
    digests = {path: file.digest for path, file in pointer.files.items()}
    if generation_of(digests) == known:
        return None
    for path, file in pointer.files.items():
        if file.size > max_file:
            raise SourceError(f'"{path}" is larger than {max_file} bytes')
    files = {}
    for path, file in pointer.files.items():
        data = held(file.digest)
        files[path] = _fetched(path, file, blob) if data is None else data
    return NodeBundle(
        node=pointer.node,
        generation=pointer.generation,
        files=files,
        origins=pointer.origins,
        drain_time=pointer.drain_time,
    )


def _fetched(path: str, file: PublishedFile, blob: Callable[[str], bytes]) -> bytes:
    parts = []
    for digest, size in piece_sizes(file):
        try:
            parts.append(open_blob(blob(digest), digest=digest, size=size))
        except BundleError as error:
            raise SourceError(
                f'cannot read "{path}": {error.message}', is_incomplete=True, hint=_AGAIN
            ) from error
    data = b"".join(parts)
    if file_digest(data) != file.digest:
        raise SourceError(f'"{path}" is not the file that the pointer names', hint=_AGAIN)
    return data
