"""Publish a bundle: the difference alone, in an order that can be cut off anywhere.

1. A trash list: what may be in nobody's use from now on, also what is about to be written.
2. Blobs.
3. The index, with the shards whose pointers are going to move.
4. Pointers: each host sees its old files or its new ones, whose blobs are all there.
5. The index as it shall be.

Whoever comes after a publisher that was killed finds the shards of step 3, or nothing but blobs
that the list of step 1 lets go one day.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from meshc.artifact.publication import INDEX, TRASH, render_index, render_trash, trash_name
from meshc.artifact.published import pack, render_pointer
from meshc.delivery.publish.collect import collect, due_lists
from meshc.delivery.publish.comparison import compare
from meshc.delivery.publish.place import blob_at, pointer_at
from meshc.delivery.publish.plan import (
    Bounds,
    PublishConflictError,
    PublishRefusedError,
    why_not,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meshc.delivery.publish.comparison import Work
    from meshc.delivery.publish.local import LocalBundle
    from meshc.delivery.publish.place import Entry, Place

GRACE_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is wanted of a publication.

    ``again`` writes everything once more, with a new order; ``grace_ms`` is for how long a blob
    stays that nobody uses; ``is_dry`` writes nothing.
    """

    bounds: Bounds = field(default_factory=Bounds)
    again: bool = False
    grace_ms: int = GRACE_MS
    is_dry: bool = False


@dataclass(slots=True, kw_only=True)
class Published:
    """What was done, or would be.

    ``written`` and ``removed`` are nodes; ``blobs`` how many were written, and ``stored`` the
    bytes of blobs and pointers as they are stored; ``collected`` blobs went because nobody had
    used them for long.
    """

    is_changed: bool
    order: int
    generation: str
    nodes: int
    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    blobs: int = 0
    stored: int = 0
    collected: int = 0


class Publisher:
    """One publication of a bundle to a place."""

    def __init__(
        self,
        bundle: LocalBundle,
        place: Place,
        wishes: Wishes,
        *,
        progress: Callable[[int, int], None],
    ) -> None:
        self._bundle = bundle
        self._place = place
        self._wishes = wishes
        self._progress = progress
        self._done = 0
        self._total = 0

    def publish(self, now_ms: int) -> Published:
        """Publish; ``now_ms`` is the time of day in milliseconds since 1970.

        Raises:
            PublishRefusedError: too many nodes would go.
            PublishConflictError: somebody else has published meanwhile.
            MeshcError: the bundle is damaged, or the place is in the way.
        """
        seen = self._index()
        work = compare(self._bundle, self._place, seen, now_ms=now_ms, again=self._wishes.again)
        self._guard(work)
        told = _told(work)
        if self._wishes.is_dry:
            return told
        due, kept = due_lists(self._place, now_ms=now_ms, grace_ms=self._wishes.grace_ms)
        if work.is_nothing and not due:
            return told
        with self._place.alone():
            if self._index() != seen:
                raise PublishConflictError(
                    f"somebody else has published to {self._place.name} meanwhile",
                    hint="look at what that was; if yours is newer, publish once more, and let CI "
                    "run one publication at a time",
                )
            if not work.is_nothing:
                self._write(work, seen, told)
            if due:
                used = self._bundle.used() | set(work.new.shards.values())
                told.collected = collect(self._place, used, due, kept)
        return told

    def _index(self) -> bytes | None:
        [(_, data)] = self._place.get([INDEX])
        return data

    def _guard(self, work: Work) -> None:
        removed = len(work.changes.removed)
        reason = why_not(work.before, removed, work.new.nodes, self._wishes.bounds)
        if reason is not None:
            raise PublishRefusedError(
                f"this mesh is not published, because {reason}",
                hint="if that is intended, say --allow-shrink"
                if work.new.nodes
                else "if that is intended, say --allow-empty",
            )

    def _write(self, work: Work, seen: bytes | None, told: Published) -> None:
        place, new = self._place, work.new
        self._total = told.blobs + len(told.written) + len(told.removed)
        if work.trash:
            lists = enumerate(render_trash(work.trash))
            place.write((f"{TRASH}/{trash_name(new.order, n)}", text) for n, text in lists)
        place.write(self._counted(self._blobs(work), told))
        if told.written or told.removed:
            base = work.old or replace(new, generation="", nodes=0, shards={})
            moving = render_index(
                replace(base, order=new.order, pending=base.pending | work.touched)
            )
            place.swap(INDEX, seen, moving)
            place.write(self._counted(self._pointers(work), told))
            seen = moving
        place.swap(INDEX, seen, render_index(new))

    def _blobs(self, work: Work) -> Iterator[Entry]:
        wanted = set(work.upload)
        for node in work.changes.written:
            for digest, piece in self._bundle.content(node, wanted):
                yield blob_at(digest), pack(piece)
        for digest, text in work.shards.items():
            yield blob_at(digest), pack(text)

    def _pointers(self, work: Work) -> Iterator[Entry]:
        for node in work.changes.written:
            pointer = self._bundle.pointer(node, work.new.order)
            yield pointer_at(node), render_pointer(pointer)
        for node in work.changes.removed:
            yield pointer_at(node), None

    def _counted(self, entries: Iterable[Entry], told: Published) -> Iterator[Entry]:
        for key, data in entries:
            told.stored += len(data or b"")
            yield key, data
            self._done += 1
            self._progress(self._done, self._total)


def _told(work: Work) -> Published:
    return Published(
        is_changed=not work.is_nothing,
        order=work.new.order if not work.is_nothing or work.old is None else work.old.order,
        generation=work.new.generation,
        nodes=work.new.nodes,
        written=work.changes.written,
        removed=work.changes.removed,
        blobs=len(work.upload) + len(work.shards),
    )
