"""What somebody wants of a store, and what would have to change for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from meshc.store.documents import meaning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedDocument:
    """A document to be stored under a name; ``shown`` is the file that it comes from."""

    name: str
    content: bytes
    shown: str
    is_mesh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted.

    ``documents`` are to be stored, ``deleted`` are to be gone; with ``is_complete`` everything
    else is to be gone as well, which is refused unless it ``may_prune``.  ``is_forced`` deletes
    what others still call, ``is_literal`` stores texts that say nothing new in other words.
    """

    documents: tuple[WantedDocument, ...] = ()
    deleted: tuple[str, ...] = ()
    is_complete: bool = False
    may_prune: bool = False
    is_forced: bool = False
    is_literal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one document; ``content`` is None where it is deleted."""

    name: str
    kind: Literal["created", "changed", "deleted"]
    content: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What has to change in a store as it is, and what may stay."""

    changes: tuple[Change, ...]
    unchanged: tuple[str, ...]

    @property
    def deleted(self) -> frozenset[str]:
        """Names of documents that will be gone."""
        return frozenset(change.name for change in self.changes if change.content is None)


def plan_change(snapshot: Snapshot, wish: Wish) -> Plan:
    """Compare a wish with what is there."""
    changes: list[Change] = []
    unchanged: list[str] = []
    for wanted in wish.documents:
        kind = _difference(snapshot, wanted, is_literal=wish.is_literal)
        if kind is None:
            unchanged.append(wanted.name)
        else:
            changes.append(Change(name=wanted.name, kind=kind, content=wanted.content))
    changes += [
        Change(name=name, kind="deleted", content=None) for name in _superfluous(snapshot, wish)
    ]
    return Plan(
        changes=tuple(sorted(changes, key=lambda change: change.name)),
        unchanged=tuple(sorted(unchanged)),
    )


def _difference(
    snapshot: Snapshot, wanted: WantedDocument, *, is_literal: bool
) -> Literal["created", "changed"] | None:
    stored = snapshot.documents.get(wanted.name)
    if stored is None:
        return "created"
    if stored.content == wanted.content:
        return None
    if is_literal:
        return "changed"
    said = meaning(wanted.name, wanted.content)
    is_same = said is not None and said == meaning(stored.name, stored.content)
    return None if is_same else "changed"


def _superfluous(snapshot: Snapshot, wish: Wish) -> Iterator[str]:
    kept = {wanted.name for wanted in wish.documents}
    for name in snapshot.documents:
        if name in wish.deleted or (wish.is_complete and name not in kept):
            yield name
