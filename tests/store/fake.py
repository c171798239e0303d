"""Consul's KV store in memory: indexes, conditions and transactions as the real one has them.

`test_fake.py` does the same to this one and to a real Consul and compares the answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshc.consul.kv import KvEntry, TxnFailure, TxnResult, txn_payload
from meshc.consul.reading import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meshc.consul.kv import KvOperation


class KilledError(BaseException):
    """The process that talked to Consul is gone."""


def _nothing() -> None:
    """Nobody interferes."""


@dataclass(slots=True)
class FakeConsul:
    """Holds keys; ``before_write`` runs ahead of each transaction, as another process would.

    ``writes_until_death`` lets so many transactions through and kills whoever sends the next;
    with ``dies_after_write`` that one is done first, and only its answer is lost.
    """

    entries: dict[str, KvEntry] = field(default_factory=dict)
    index: int = 10
    is_filtered: bool = False
    writes: list[tuple[KvOperation, ...]] = field(default_factory=list)
    before_write: Callable[[], object] = _nothing
    writes_until_death: int | None = None
    dies_after_write: bool = False

    def kv_list(self, prefix: str, *, consistency: str = "default") -> Reply[list[KvEntry]]:
        assert consistency == "consistent", "a stale answer would be judged and written over"
        found = [entry for key, entry in sorted(self.entries.items()) if key.startswith(prefix)]
        return Reply(value=found, index=self.index, is_filtered=self.is_filtered)

    def txn(self, operations: Sequence[KvOperation]) -> TxnResult:
        txn_payload(operations)  # the client's own limits
        interfere, self.before_write = self.before_write, _nothing
        interfere()
        if self.writes_until_death is not None:
            self.writes_until_death -= 1
            if self.writes_until_death < 0 and not self.dies_after_write:
                raise KilledError
        result = self._do(operations)
        self.writes.append(tuple(operations))
        if self.writes_until_death is not None and self.writes_until_death < 0:
            raise KilledError
        return result

    def put(self, key: str, value: bytes) -> None:
        """Write a key as somebody else, such as an operator with Consul's own tool."""
        self.index += 1
        self.entries[key] = KvEntry(key=key, value=value, modify_index=self.index)

    def _do(self, operations: Sequence[KvOperation]) -> TxnResult:
        before = dict(self.entries)
        failures = []
        self.index += 1
        for number, operation in enumerate(operations):
            reason = self._step(operation)
            if reason is not None:
                failures.append(TxnFailure(operation=number, reason=reason))
        if failures:
            self.entries = before
        return TxnResult(ok=not failures, errors=tuple(failures))

    def _step(self, operation: KvOperation) -> str | None:
        key = operation.key
        there = self.entries.get(key)
        index = 0 if there is None else there.modify_index
        match operation.verb:
            case "set" | "cas":
                if operation.verb == "cas" and operation.index != index:
                    return f'failed to set key "{key}", index is stale'
                entry = KvEntry(key=key, value=operation.value, modify_index=self.index)
                self.entries[key] = entry
            case "delete" | "delete-cas":
                if operation.verb == "delete-cas" and there and operation.index != index:
                    return f'failed to delete key "{key}", index is stale'
                self.entries.pop(key, None)
            case "check-index":
                if there is None:
                    return f'failed to check index, key "{key}" doesn\'t exist'
                if operation.index != index:
                    return (
                        f'failed index check for key "{key}", '
                        f"current modify index {index} != {operation.index}"
                    )
            case other:
                raise AssertionError(other)
        return None
