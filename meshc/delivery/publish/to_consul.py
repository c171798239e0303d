"""Consul's KV as the place of publications.

Everything below ``meshc/v1/<mesh>/``.  What is small goes in transactions, 63 writes behind the
proof that the lock is still held; a blob that no transaction can take goes alone.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from meshc.artifact.publication import LOCK, TRASH, trash_order
from meshc.artifact.published import mesh_key
from meshc.consul.kv import MAX_OPERATIONS, MAX_TXN_BODY, KvOperation
from meshc.consul.lock import hold_lock
from meshc.delivery.publish.place import BLOBS
from meshc.delivery.publish.plan import PublishConflictError, PublishError
from meshc.diagnostics.names import is_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from meshc.consul.client import ConsulClient
    from meshc.consul.kv import KvEntry, TxnResult
    from meshc.consul.lock import HeldLock
    from meshc.delivery.publish.place import Entry

PATIENCE_S = 60.0
"""A publisher that was killed gives the lock up within this time."""
_OVERHEAD = 160
"""Bytes of an operation in a transaction beside its key and value, and some to spare."""
_READ_TOGETHER = 32
"""The largest pointers in one answer are then still bearable."""


class ConsulPlace:
    """A mesh in Consul's KV."""

    def __init__(self, client: ConsulClient, mesh: str) -> None:
        self._client = client
        self._mesh = mesh
        self._lock: HeldLock | None = None
        self._indexes: dict[str, int] = {}
        self.name = f'mesh "{mesh}" in {client.where}'

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other publishers out, by a lock that ends with this process."""
        with hold_lock(
            self._client, self._key(LOCK), purpose="meshc publish", patience=PATIENCE_S
        ) as lock:
            self._lock = lock
            try:
                yield
            finally:
                self._lock = None

    def get(self, keys: Sequence[str]) -> Iterator[Entry]:
        """Yield what lies at keys."""
        if len(keys) == 1:
            yield keys[0], self._one(keys[0])
            return
        for start in range(0, len(keys), _READ_TOGETHER):
            some = keys[start : start + _READ_TOGETHER]
            operations = [KvOperation(verb="get-or-empty", key=self._key(key)) for key in some]
            found = {entry.key: entry for entry in self._done(operations).entries}
            for key in some:
                yield key, _value(found.get(self._key(key)))

    def _one(self, key: str) -> bytes | None:
        entry = self._client.kv_get(self._key(key), consistency="consistent").value
        self._indexes[key] = 0 if entry is None else entry.modify_index
        return _value(entry)

    def names(self, folder: str) -> list[str]:
        """Return what lies in a folder; keys that no publisher put there are none of it."""
        prefix = self._key(f"{folder}/")
        keys = self._client.kv_keys(prefix, consistency="consistent").value
        names = [key.removeprefix(prefix) for key in keys]
        if folder == TRASH:
            return [name for name in names if trash_order(name) is not None]
        return [name for name in names if is_name(name)]

    def write(self, entries: Iterable[Entry]) -> None:
        """Put and remove; Consul has agreed upon all of it when this returns."""
        waiting: list[KvOperation] = []
        size = 0
        for key, data in entries:
            operation = (
                KvOperation(verb="delete", key=self._key(key))
                if data is None
                else KvOperation(verb="set", key=self._key(key), value=data)
            )
            needed = _size(operation)
            if needed > _room():
                self._put_alone(key, data or b"")
                continue
            if len(waiting) == MAX_OPERATIONS - 1 or size + needed > _room():
                self._fenced(waiting)
                waiting, size = [], 0
            waiting.append(operation)
            size += needed
        if waiting:
            self._fenced(waiting)

    def _put_alone(self, key: str, data: bytes) -> None:
        """Write what no transaction can take, without proof of the lock: a blob harms nobody."""
        if not key.startswith(f"{BLOBS}/"):
            raise PublishError(f'"{key}" is too large for a transaction of Consul')
        self._held().check()
        if not self._client.kv_put(self._key(key), data):
            raise PublishError(f'Consul has not written "{key}"')

    def swap(self, key: str, old: bytes | None, new: bytes) -> None:
        """Replace what was read at a key, only if it still is what it was."""
        del old  # Consul knows it by its index
        full = self._key(key)
        index = self._indexes[key]
        swap = KvOperation(verb="cas", key=full, value=new, index=index)
        result = self._fenced([swap])
        self._indexes[key] = next(e.modify_index for e in result.entries if e.key == full)

    def _fenced(self, operations: Sequence[KvOperation]) -> TxnResult:
        held = self._held()
        held.check()
        return self._done([held.fence(), *operations])

    def _held(self) -> HeldLock:
        if self._lock is None:
            raise AssertionError("written to without the lock")
        return self._lock

    def _done(self, operations: Sequence[KvOperation]) -> TxnResult:
        result = self._client.txn(operations)
        if not result.ok:
            reason = "; ".join(error.reason for error in result.errors)
            raise PublishConflictError(
                f"somebody else is publishing to {self.name}: {reason}",
                hint="look at what is published there; if yours is newer, publish once more",
            )
        return result

    def _key(self, key: str) -> str:
        return mesh_key(self._mesh, key)


def _room() -> int:
    return MAX_TXN_BODY - 2 * _OVERHEAD


def _size(operation: KvOperation) -> int:
    return len(operation.key) + _OVERHEAD + -(-len(operation.value) // 3) * 4


def _value(entry: KvEntry | None) -> bytes | None:
    """Return what an entry holds; one that was never written has no index."""
    return None if entry is None or not entry.modify_index else entry.value
