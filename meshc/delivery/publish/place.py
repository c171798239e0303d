"""What a place for publications can do; keys are relative to the mesh: ``nodes/web1``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

Entry = tuple[str, bytes | None]
"""A key and its content; None: there is none, or there shall be none."""

NODES, BLOBS = "nodes", "blobs"


def pointer_at(node: str) -> str:
    """Return the key of a node's pointer."""
    return f"{NODES}/{node}"


def blob_at(digest: str) -> str:
    """Return the key of a piece of content."""
    return f"{BLOBS}/{digest}"


class Place(Protocol):
    """A place; its methods raise MeshcError where the world is in the way."""

    name: str
    """What people call it."""

    def alone(self) -> AbstractContextManager[None]:
        """Keep all other publishers out; writing is allowed within only."""

    def get(self, keys: Sequence[str]) -> Iterator[Entry]:
        """Yield what lies at keys."""

    def names(self, folder: str) -> list[str]:
        """Return what lies directly in ``nodes``, ``trash``, without the folder's name."""

    def write(self, entries: Iterable[Entry]) -> None:
        """Put and remove; each single entry at once, all of them to last when this returns."""

    def swap(self, key: str, old: bytes | None, new: bytes) -> None:
        """Replace what lies at a key, only if it still is what it was."""
