"""Writing a change so that readers see all of it or nothing, whenever the writer is killed."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from meshc.consul.errors import ConsulDeniedError, ConsulError
from meshc.consul.kv import MAX_OPERATIONS, MAX_TXN_BODY, KvOperation
from meshc.store.errors import StoreConflictError
from meshc.store.snapshot import Revision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from meshc.store.change import Change
    from meshc.store.keys import StoreKeys
    from meshc.store.snapshot import KeyValue, Snapshot

_FRAME = 256
"""Bytes of an operation beside key and value, rounded up."""
_STAGE_BYTES = 8
_TOO_LATE = ("index is stale", "failed index check", "failed to check index")
"""How Consul says that a condition of a transaction does not hold."""


def commit(
    consul: KeyValue, keys: StoreKeys, snapshot: Snapshot, changes: Sequence[Change]
) -> Revision:
    """Write a change to a store that is still as in the snapshot, in which nothing is pending.

    What is too much for one transaction is staged; it counts when this returns, and `settle`
    has still to move it in.  Raises StoreConflictError where the store is not so any more.
    """
    if snapshot.pending:
        raise AssertionError(snapshot.revision)
    number = snapshot.revision.number + 1
    kept = snapshot.documents.keys() - {one.name for one in changes}
    documents = len(kept) + sum(one.content is not None for one in changes)
    operations = [_document(keys, snapshot, change) for change in changes]
    revision = Revision(number=number, documents=documents)
    fence = _fence(keys, snapshot, revision)
    if not _fits([fence, *operations]):
        stage = secrets.token_hex(_STAGE_BYTES)
        entries = [
            KvOperation(verb="set", key=keys.staged(stage, one.name), value=one.content or b"")
            for one in changes
        ]
        for batch in _batches(entries):
            _done(consul, batch)
        revision = replace(revision, stage=stage, staged=len(entries))
        operations = []
        fence = _fence(keys, snapshot, revision)
    _done(consul, [fence, *operations])
    return revision


def settle(consul: KeyValue, keys: StoreKeys, snapshot: Snapshot) -> None:
    """Move in what is staged and counts; changes nothing that a reader sees.

    Two may do so at once, and whoever comes too late gets a StoreConflictError: each step holds
    only as long as the revision is that of the snapshot.
    """
    fence = KvOperation(verb="check-index", key=keys.revision, index=snapshot.index)
    moves = [
        KvOperation(verb="delete", key=keys.document(name))
        if content is None
        else KvOperation(verb="set", key=keys.document(name), value=content)
        for name, content in snapshot.pending.items()
    ]
    for batch in _batches(moves, fence):
        _done(consul, batch)
    settled = replace(snapshot.revision, stage=None, staged=0)
    _done(consul, [_fence(keys, snapshot, settled)])
    remove(consul, snapshot.staged_keys)


def remove(consul: KeyValue, stale: Iterable[str]) -> None:
    """Delete keys of stages that do not count, or not any more.

    No writer can still need them: its change is fenced by a revision that has moved since.
    """
    for batch in _batches(KvOperation(verb="delete", key=key) for key in stale):
        _done(consul, batch)


def _fence(keys: StoreKeys, snapshot: Snapshot, revision: Revision) -> KvOperation:
    """Move the revision on, if it is where the snapshot says; index 0 is that there is none."""
    return KvOperation(
        verb="cas", key=keys.revision, value=revision.encoded(), index=snapshot.index
    )


def _document(keys: StoreKeys, snapshot: Snapshot, change: Change) -> KvOperation:
    """Write or delete a document, if nobody has changed it by other means than meshc."""
    stored = snapshot.documents.get(change.name)
    index = 0 if stored is None else stored.index
    key = keys.document(change.name)
    if change.content is None:
        return KvOperation(verb="delete-cas", key=key, index=index)
    return KvOperation(verb="cas", key=key, value=change.content, index=index)


def _size(operation: KvOperation) -> int:
    """Bytes of an operation in a transaction, rounded up."""
    return _FRAME + len(operation.key) + 4 * (len(operation.value) // 3 + 1)


def _fits(operations: Sequence[KvOperation]) -> bool:
    return len(operations) <= MAX_OPERATIONS and sum(map(_size, operations)) <= MAX_TXN_BODY


def _batches(
    operations: Iterable[KvOperation], fence: KvOperation | None = None
) -> Iterator[list[KvOperation]]:
    """Cut operations into transactions that Consul takes, the fence in front of each."""
    start = [] if fence is None else [fence]
    batch = list(start)
    for operation in operations:
        if not _fits([*batch, operation]):
            yield batch
            batch = list(start)
        batch.append(operation)
    if len(batch) > len(start):
        yield batch


def _done(consul: KeyValue, operations: Sequence[KvOperation]) -> None:
    """Do a transaction; raises StoreConflictError where a condition in it does not hold."""
    result = consul.txn(operations)
    if result.ok:
        return
    reasons = "; ".join(failure.reason for failure in result.errors)
    if "permission denied" in reasons.lower():
        raise ConsulDeniedError(
            f"Consul does not let this token change the store: {reasons}",
            hint="the token needs write on the keys that begin with meshc/v1/MESH/specs",
        )
    if any(words in reasons for words in _TOO_LATE):
        raise StoreConflictError(
            "the store was changed by somebody else at the same time; nothing was written",
            hint="look at what is there now with meshc svc list, and try again",
        )
    raise ConsulError(f"Consul did not do a transaction: {reasons}")
