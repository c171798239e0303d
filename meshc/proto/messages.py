"""Checks of whole messages, made from descriptors when a message type is first met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from meshc.proto.faults import CLEAN, MAX_DEPTH, TOO_DEEP, Check, Faults, fault, gather, quoted
from meshc.proto.scalars import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meshc.proto.rules import Rule


class Oneof(NamedTuple):
    """Fields of which at most one may be set, or exactly one."""

    members: frozenset[str]
    names: tuple[str, ...]  # the same, in the order of the descriptor
    is_required: bool


class FieldChecks(dict[str, Check]):
    """The check of each field by name, made when the field is first used.

    Most of the thousands of fields of the API never occur, and a dictionary that fills
    itself costs nothing afterwards.  Unknown names are answered but not kept: they come from
    the input, and nothing bounds them.
    """

    def __init__(self, names: Mapping[str, str], make: Callable[[str], Check]) -> None:
        """Take all names with their camel case form, and the maker of a field's check."""
        super().__init__()
        self._names = names
        self._make = make

    def __missing__(self, name: object) -> Check:
        if not isinstance(name, str) or name not in self._names:
            return self._unknown(name)
        self[name] = check = self._make(name)
        return check

    def _unknown(self, name: object) -> Check:
        def check(_value: Any, _depth: int) -> Faults:
            for known, camel_case in self._names.items():
                if camel_case == name:
                    return fault(f'is not a field: write "{known}"')
            hint = did_you_mean(name, self._names) if isinstance(name, str) else ""
            return fault(f"is not a field of this message{hint}")

        return check


def message_check(  # noqa: C901 - one loop; splitting it costs a third of the speed
    fields: FieldChecks, missing: Sequence[tuple[str, Faults]], oneofs: Sequence[Oneof]
) -> Check:
    """Make the check of a message.

    ``missing`` names the fields that must be there, with what to say when they are not.
    """

    def check(message: Any, depth: int) -> Faults:
        if not isinstance(message, dict):
            return fault(f"must be an object, not {quoted(message)}")
        if depth >= MAX_DEPTH:
            return TOO_DEEP
        depth += 1
        found: Faults = CLEAN
        present = message
        for name, value in message.items():
            if faults := fields[name](value, depth):
                if value is None and name in fields:
                    # Null means "not set"; only a free-form value can be null itself.
                    present = _without_nulls(present, fields)
                else:
                    found = gather(found, _step(name), faults)
        for name, faults in missing:
            if name not in present:
                found = gather(found, "", faults)
        for members, names, is_required in oneofs:
            count = len(members.intersection(present))
            if count > 1 or (is_required and not count):
                found = gather(found, "", _oneof_fault(names, present))
        return found

    return check


def _step(name: object) -> str:
    # Names come from the input: one that is no word must not make a path that cannot be read.
    return f".{name}" if isinstance(name, str) and name.isidentifier() else f"[{quoted(name)}]"


def _without_nulls(message: dict[str, Any], fields: FieldChecks) -> dict[str, Any]:
    return {
        name: value
        for name, value in message.items()
        if value is not None or not fields[name](None, 0)
    }


def _oneof_fault(names: Sequence[str], present: Mapping[str, Any]) -> Faults:
    given = [f'"{name}"' for name in names if name in present]
    if given:
        return fault(f"has {' and '.join(given)}, of which only one may be set")
    listed = ", ".join(f'"{name}"' for name in names)
    return fault(f"needs {listed}" if len(names) == 1 else f"needs one of {listed}")


def repeated_check(item: Check, rules: tuple[Rule, ...]) -> Check:
    """Make the check of a list from the check of its items."""

    def check(values: Any, depth: int) -> Faults:
        if not isinstance(values, (list, tuple)):
            return fault(f"must be a list, not {quoted(values)}")
        found: Faults = CLEAN
        for index, value in enumerate(values):
            if faults := item(value, depth):
                found = gather(found, f"[{index}]", faults)
        # Items that cannot be read cannot be compared either.
        return found or tuple(("", rule.message) for rule in rules if not rule.accepts(values))

    return check


def map_check(key: Check, value: Check, rules: tuple[Rule, ...]) -> Check:
    """Make the check of a map from the checks of its keys and values."""

    def check(entries: Any, depth: int) -> Faults:
        if not isinstance(entries, dict):
            return fault(f"must be an object, not {quoted(entries)}")
        found: Faults = CLEAN
        for name, entry in entries.items():
            if faults := key(name, depth):
                found = gather(
                    found, f"[{quoted(name)}]", tuple((p, f"key {m}") for p, m in faults)
                )
            if faults := value(entry, depth):
                found = gather(found, f"[{quoted(name)}]", faults)
        return found or tuple(("", rule.message) for rule in rules if not rule.accepts(entries))

    return check
