"""The Consul in memory answers as a real one does."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from meshc.consul.kv import KvOperation
from tests.store.fake import FakeConsul

if TYPE_CHECKING:
    from meshc.consul.kv import TxnResult
    from meshc.store.snapshot import KeyValue
    from tests.consul.server import ConsulServer

pytestmark = pytest.mark.consul

NOW, LATER, NONE = "as read", "one too high", "zero"
TRANSACTIONS: dict[str, list[tuple[str, str, str, bytes]]] = {
    "a key that is there is set": [("set", "a", NONE, b"2")],
    "a new key is set": [("set", "new", NONE, b"2")],
    "an empty value is set": [("set", "new", NONE, b"")],
    "a read index holds": [("cas", "a", NOW, b"2")],
    "a stale index does not": [("cas", "a", LATER, b"2")],
    "zero is for keys that are not there": [("cas", "a", NONE, b"2")],
    "a new key by zero": [("cas", "new", NONE, b"2")],
    "a new key by an index": [("cas", "new", LATER, b"2")],
    "a key is deleted": [("delete", "a", NONE, b"")],
    "nothing is deleted": [("delete", "new", NONE, b"")],
    "a key is deleted by its index": [("delete-cas", "a", NOW, b"")],
    "a key is not deleted by another": [("delete-cas", "a", LATER, b"")],
    "nothing is deleted by an index": [("delete-cas", "new", LATER, b"")],
    "an index is checked": [("check-index", "a", NOW, b""), ("set", "b", NONE, b"2")],
    "a wrong index is noticed": [("check-index", "a", LATER, b""), ("set", "b", NONE, b"2")],
    "a missing key is noticed": [("check-index", "new", LATER, b""), ("set", "b", NONE, b"2")],
    "what came first is undone": [("set", "b", NONE, b"2"), ("cas", "a", LATER, b"2")],
    "one key after the other": [("set", "b", NONE, b"2"), ("delete", "b", NONE, b"")],
}


def done(consul: KeyValue, root: str, steps: list[tuple[str, str, str, bytes]]) -> TxnResult:
    consul.txn([KvOperation(verb="set", key=f"{root}/{name}", value=b"1") for name in "ab"])
    index = {entry.key: entry.modify_index for entry in listed(consul, root)}
    operations: list[Any] = []
    for verb, name, wanted, value in steps:
        read = index.get(f"{root}/{name}", 0)
        number = {NOW: read, LATER: read + 1, NONE: 0}[wanted]
        operations.append((verb, f"{root}/{name}", number, value))
    return consul.txn(
        [
            KvOperation(verb=v, key=k, index=number, value=value)
            for v, k, number, value in operations
        ]
    )


def listed(consul: KeyValue, root: str) -> list[Any]:
    return consul.kv_list(root, consistency="consistent").value


def without_numbers(reason: str) -> str:
    return "".join(char for char in reason if not char.isdigit())


@pytest.mark.parametrize("steps", TRANSACTIONS.values(), ids=TRANSACTIONS)
def test_a_transaction_has_the_same_answer_and_the_same_effect(
    consul_dev: ConsulServer, steps: list[tuple[str, str, str, bytes]]
) -> None:
    fake, root = FakeConsul(), f"meshc/v1/{secrets.token_hex(8)}"
    with consul_dev.client() as real:
        answers = [done(one, root, steps) for one in (fake, real)]
        kept = [{(one.key, one.value) for one in listed(one, root)} for one in (fake, real)]

    assert answers[0].ok == answers[1].ok
    assert [(one.operation, without_numbers(one.reason)) for one in answers[0].errors] == [
        (one.operation, without_numbers(one.reason)) for one in answers[1].errors
    ]
    assert kept[0] == kept[1]


def test_only_what_is_written_gets_a_new_index(consul_dev: ConsulServer) -> None:
    def changed(consul: KeyValue, root: str) -> dict[str, bool]:
        done(consul, root, [("set", "c", NONE, b"3")])
        before = {one.key: one.modify_index for one in listed(consul, root)}
        consul.txn([KvOperation(verb="set", key=f"{root}/a", value=b"2")])
        after = {one.key: one.modify_index for one in listed(consul, root)}
        return {key: before[key] != after[key] for key in before}

    root = f"meshc/v1/{secrets.token_hex(8)}"
    with consul_dev.client() as real:
        assert changed(real, root) == changed(FakeConsul(), root)
