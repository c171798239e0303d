"""Keys and values, what a transaction may hold beside them, and the limits of Consul."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from meshc.consul.errors import ConsulError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_VALUE = 512 * 1024
"""Bytes of one value (Consul: kv_max_value_size)."""
MAX_OPERATIONS = 64
"""Operations in one transaction; newer Consuls allow more, older ones do not."""
MAX_TXN_BODY = 512 * 1024
"""Bytes of a transaction as it is sent (Consul: txn_max_req_len); values are base64 in it."""

Verb = Literal[
    "set",
    "cas",
    "lock",
    "unlock",
    "get",
    "get-or-empty",
    "delete",
    "delete-cas",
    "check-index",
    "check-session",
    "check-not-exists",
]
_WRITING = ("set", "cas", "lock", "unlock")
_LONGEST_KEY = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KvEntry:
    """A key as Consul holds it; ``modify_index`` is what a check-and-set compares."""

    key: str
    value: bytes
    flags: int = 0
    modify_index: int = 0
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KvOperation:
    """One step of a transaction."""

    verb: Verb
    key: str
    value: bytes = b""
    index: int = 0
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogOperation:
    """One step of a transaction upon the catalogue.

    ``entry`` is a node or a service in Consul's own field names; a service is on ``node``.  What
    is checked and set has its index in the entry, zero for what must not exist.
    """

    kind: Literal["Node", "Service"]
    verb: Literal["set", "cas", "get", "delete", "delete-cas"]
    entry: Mapping[str, Any]
    node: str = ""


TxnOperation = KvOperation | CatalogOperation


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnFailure:
    """Why a transaction did not happen: which of its operations failed, in Consul's words."""

    operation: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnResult:
    """What became of a transaction; where it is not ``ok``, nothing of it was done."""

    ok: bool
    errors: tuple[TxnFailure, ...] = ()
    entries: tuple[KvEntry, ...] = ()
    """What the operations read or wrote, in order; written values are not sent back."""


def checked_key(key: str) -> str:
    """Return a key that means the same to Consul as it says.

    Consul's server cleans paths: what has empty or dotted segments would be another key.

    Raises:
        ConsulError: it is no such key.
    """
    parts = key.removesuffix("/").split("/")
    if len(key) > _LONGEST_KEY or not key.isprintable() or any(p in {"", ".", ".."} for p in parts):
        raise ConsulError(f"{key[:80]!r} cannot be a key in Consul")
    return key


def checked_value(key: str, value: bytes) -> bytes:
    """Return a value that Consul takes.

    Raises:
        ConsulError: it is too large.
    """
    if len(value) > MAX_VALUE:
        raise ConsulError(
            f'"{key}" would hold {len(value)} bytes, and Consul takes {MAX_VALUE} in one value'
        )
    return value


def txn_payload(operations: Sequence[TxnOperation]) -> list[dict[str, Any]]:
    """Return a transaction in Consul's form.

    Raises:
        ConsulError: it holds nothing, too many operations, or too large a value.
    """
    if not 0 < len(operations) <= MAX_OPERATIONS:
        raise ConsulError(
            f"a transaction of {len(operations)} operations was not sent: "
            f"Consul takes 1 to {MAX_OPERATIONS}"
        )
    return [_spelled(one) for one in operations]


def _spelled(one: TxnOperation) -> dict[str, Any]:
    if isinstance(one, KvOperation):
        return {"KV": _spelled_kv(one)}
    spelled: dict[str, Any] = {"Verb": one.verb, one.kind: dict(one.entry)}
    if one.node:
        spelled["Node"] = one.node
    return {one.kind: spelled}


def _spelled_kv(one: KvOperation) -> dict[str, Any]:
    spelled: dict[str, Any] = {"Verb": one.verb, "Key": checked_key(one.key)}
    if one.verb in _WRITING:
        spelled["Value"] = base64.b64encode(checked_value(one.key, one.value)).decode()
    if one.index:
        spelled["Index"] = one.index
    if one.session:
        spelled["Session"] = one.session
    return spelled
