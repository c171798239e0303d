"""Blobs that nobody uses go after a grace time, in which hosts may still be reading them.

Every publication leaves a list of what it took out of use, and of what it was about to write.
When the oldest list is due, all lists are read: what a younger one names has been in use since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.artifact.publication import TRASH, parse_trash, trash_order
from meshc.delivery.publish.place import blob_at
from meshc.diagnostics.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Collection

    from meshc.delivery.publish.place import Place


def due_lists(place: Place, *, now_ms: int, grace_ms: int) -> tuple[list[str], list[str]]:
    """Return the trash lists that are due, and those that are not yet.

    They are due together once the oldest has been for a fourth of the grace time, so that most
    publications need not read them.
    """
    orders = {name: trash_order(name) for name in place.names(TRASH)}
    lists = {name: order for name, order in orders.items() if order is not None}
    if not lists or min(lists.values()) > now_ms - grace_ms - grace_ms // 4:
        return [], sorted(lists)
    due = sorted(name for name, order in lists.items() if order <= now_ms - grace_ms)
    return due, sorted(lists.keys() - due)


def collect(place: Place, used: Collection[str], due: list[str], kept: list[str]) -> int:
    """Remove the blobs of lists that are due; returns how many.

    Must be called by the only publisher; ``used`` is what is published now.  Blobs go before
    their list, so that nothing is forgotten where this is cut off.
    """
    needed = set(used).union(*_read(place, kept)) if due else set()
    doomed = sorted(set().union(*_read(place, due)) - needed)
    place.write((blob_at(digest), None) for digest in doomed)
    place.write((f"{TRASH}/{name}", None) for name in due)
    return len(doomed)


def _read(place: Place, names: list[str]) -> list[frozenset[str]]:
    found = []
    for _, data in place.get([f"{TRASH}/{name}" for name in names]):
        try:
            found.append(frozenset() if data is None else parse_trash(data))
        except BundleError:
            found.append(frozenset())  # some blobs stay for ever, which harms nobody
    return found
