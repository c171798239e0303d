"""``google.protobuf.Any``: a message that names its own type, checked as that type."""

from __future__ import annotations

import marshal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from meshc.proto.faults import CLEAN, MAX_DEPTH, TOO_DEEP, Check, Faults, fault, gather, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

TYPE_URL_PREFIX = "type.googleapis.com/"

# The last form without references between equal objects: the same values, the same bytes.
# Unlike JSON it tells 1 from 1.0 and null from NaN, and it refuses what JSON does not have.
_MARSHAL_FORM = 2
_DIGEST_BYTES = 16


class CleanPayloads:
    """Remembers payloads that were found clean, by digest, up to a limit.

    A filter that ten listeners share is walked once.  Two payloads that differ only in the
    order of their fields are remembered apart, which costs time but never an answer.
    """

    __slots__ = ("_depths", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._depths: dict[bytes, int] = {}

    def digest(self, payload: Any) -> bytes | None:
        """Return the key of a payload, or nothing for one that is not plain data."""
        try:
            return blake2b(
                marshal.dumps(payload, _MARSHAL_FORM), digest_size=_DIGEST_BYTES
            ).digest()
        except ValueError:  # not plain data, or nested deeper than marshal goes
            return None

    def holds(self, digest: bytes | None, depth: int) -> bool:
        """Tell whether the payload was found clean at this depth or a greater one."""
        return depth <= self._depths.get(digest, -1)  # type: ignore[arg-type]

    def add(self, digest: bytes | None, depth: int) -> None:
        """Remember a clean payload; when full, forget all, as the next build starts afresh."""
        if digest is None:
            return
        if len(self._depths) >= self._limit:
            self._depths.clear()
        self._depths[digest] = depth


def any_check(payload_check: Callable[[str], Check | None], clean: CleanPayloads) -> Check:
    """Make the check of an Any field; ``payload_check`` finds the check of a type by name."""

    def check(value: Any, depth: int) -> Faults:
        if not isinstance(value, dict):
            return fault(f"must be an object, not {quoted(value)}")
        digest = clean.digest(value)
        if clean.holds(digest, depth):
            return CLEAN
        if depth >= MAX_DEPTH:
            return TOO_DEEP
        type_url = value.get("@type")
        name = type_url.removeprefix(TYPE_URL_PREFIX) if isinstance(type_url, str) else None
        payload = payload_check(name) if name and name != type_url else None
        faults = payload(value, depth) if payload else _type_fault(type_url)
        if not faults:
            clean.add(digest, depth)
        return faults

    return check


def _type_fault(type_url: object) -> Faults:
    if type_url is None:
        return (('["@type"]', "is required: it is the type of the message"),)
    if not isinstance(type_url, str) or not type_url.startswith(TYPE_URL_PREFIX):
        return (('["@type"]', f'must start with "{TYPE_URL_PREFIX}", not {quoted(type_url)}'),)
    return (('["@type"]', f"names a type that this Envoy does not have: {quoted(type_url)}"),)


def wrapped_check(check: Check) -> Check:
    """Check the payload of a type with a JSON form of its own: it is under ``value``."""

    def check_wrapped(value: Any, depth: int) -> Faults:
        found: Faults = CLEAN
        for name in value:
            if name not in {"@type", "value"}:
                unknown = fault('is not a field here: the message is under "value"')
                found = gather(found, f"[{quoted(name)}]", unknown)
        if "value" not in value:
            return gather(found, ".value", fault("is required"))
        return (
            gather(found, ".value", faults)
            if (faults := check(value["value"], depth + 1))
            else found
        )

    return check_wrapped
