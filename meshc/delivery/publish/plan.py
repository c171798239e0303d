"""Decide what has to be written and removed; pure.

A publication goes through these questions in turn, each answered from little:
which shards differ, which nodes of them differ, which blobs those nodes need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.artifact.published import FUTURE_MS
from meshc.diagnostics.errors import MeshcError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from meshc.artifact.publication import Index

_DAILY_LOSS = 1
"""Losing one node is daily business, whatever share that is."""


class PublishError(MeshcError):
    """A bundle is not published; what was published before is still there."""


class PublishRefusedError(PublishError):
    """Somebody's word is needed before this is published."""


class PublishConflictError(PublishError):
    """Somebody else publishes, or has just done so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """By how much a mesh may shrink; ``max_shrink`` is a share of its nodes."""

    max_shrink: float = 0.3
    may_shrink: bool = False
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Nodes whose pointers are to be written, and those that have none any more; sorted."""

    written: tuple[str, ...]
    removed: tuple[str, ...]


def unknown_shards(old: Index | None, new: Collection[str]) -> frozenset[str]:
    """Return the shards of which only the pointers themselves can tell what is published."""
    return frozenset(new) if old is None else old.pending


def differing_shards(old: Index | None, new: Mapping[str, str]) -> frozenset[str]:
    """Return the shards that may not be published as they shall be."""
    before = {} if old is None else old.shards
    names = {*before, *new}
    differing = {name for name in names if before.get(name) != new.get(name)}
    return frozenset(differing | unknown_shards(old, new))


def changes(old: Mapping[str, str | None], new: Mapping[str, str], *, again: bool) -> Changes:
    """Compare nodes, each with the digest of what its pointer says.

    ``again`` writes the pointer of each node, also where it says the same already.  A digest of
    None is that of something which is no pointer of this mesh: no publisher has put it there, so
    it is not removed.
    """
    written = sorted(node for node in new if again or old.get(node) != new[node])
    removed = sorted(node for node in old.keys() - new.keys() if old[node] is not None)
    return Changes(written=tuple(written), removed=tuple(removed))


def next_order(old: Index | None, now_ms: int, *, again: bool) -> int:
    """Return the order of a publication: the time of day, but after the one before.

    Raises:
        PublishError: the one before is from the future, and agents would refuse to follow it.
    """
    if old is None or (again and old.order > now_ms + FUTURE_MS):
        return now_ms
    if old.order > now_ms + FUTURE_MS:
        ahead = (old.order - now_ms) / (24 * 3_600_000)
        raise PublishError(
            f"what is published there comes from {ahead:,.0f} days in the future, so agents would "
            "refuse whatever comes after it",
            hint="is the clock of this host right? If it is, the one of an earlier publisher was "
            "not: publish all of it with the time of today, with --again",
        )
    return max(now_ms, old.order + 1)


def why_not(before: int, removed: int, after: int, bounds: Bounds) -> str | None:
    """Return why a mesh must not be published without somebody's word, or None."""
    if not after and not bounds.may_be_empty:
        return "it has no nodes at all"
    if bounds.may_shrink or removed <= _DAILY_LOSS or removed <= before * bounds.max_shrink:
        return None
    return (
        f"{removed:,} of {before:,} nodes go, which is {removed / before:.0%}; "
        f"allowed are {bounds.max_shrink:.0%}"
    )
