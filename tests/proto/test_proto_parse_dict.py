"""The type half of the checker beside ``json_format.ParseDict``, field by field.

Every field of every message that a node's configuration can contain gets right and wrong
values.  Where the two differ, the table below says why; an unused line fails too.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from meshc.proto import EnvoySchema, load_schema
from tests.proto.fields import ROOTS, ROUTER, field_samples, reachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor


@dataclass(frozen=True, slots=True)
class Difference:
    """Values that ParseDict takes and the checker refuses, and why that is right."""

    reason: str
    kinds: frozenset[str]
    applies: Callable[[Any], bool]


def _kinds(*names: str) -> frozenset[str]:
    return frozenset(names)


def _text(value: Any) -> bool:
    return isinstance(value, str)


DIFFERENCES = (
    Difference(
        "ParseDict iterates: anything empty is an empty message; Envoy wants an object",
        _kinds("message"),
        lambda value: value in ([], "", ()),
    ),
    Difference(
        "ParseDict calls int(): signs, underscores, line ends, leading zeros; Envoy refuses them",
        _kinds("integer", "enum"),
        lambda value: value in ("+5", "5\n", "1_0", "007", " 5", "5 ", ".5", "5."),
    ),
    Difference(
        "ParseDict calls int() on whatever is no name: true and fractions become enum values",
        _kinds("enum"),
        lambda value: value is True or value is False or isinstance(value, (float, str)),
    ),
    Difference(
        "ParseDict cuts enum numbers to 32 bits; Envoy refuses longer ones",
        _kinds("enum"),
        lambda value: isinstance(value, int) and not -(2**31) <= value < 2**31,
    ),
    Difference(
        "ParseDict calls float(): true becomes 1, and texts need not be JSON numbers",
        _kinds("float"),
        lambda value: isinstance(value, (bool, str)),
    ),
    Difference(
        "ParseDict leaves out what is not base64, and takes bytes, which JSON does not have",
        _kinds("bytes"),
        lambda value: isinstance(value, (str, bytes)),
    ),
    Difference(
        "ParseDict calls int() and float() on the halves, and rounds after nine digits",
        _kinds("duration"),
        _text,
    ),
    Difference(
        "an Any without a type is accepted as empty; nothing in Envoy can use one",
        _kinds("any"),
        lambda value: value == {},
    ),
    Difference(
        "ParseDict ignores the host of a type URL; Envoy resolves only its own",
        _kinds("any"),
        lambda value: not str(value.get("@type")).startswith("type.googleapis.com/"),
    ),
    Difference(
        "ParseDict ignores fields beside the value of a well-known type",
        _kinds("any"),
        lambda value: "a" in value,
    ),
    Difference(
        "JSON has neither NaN nor infinity, nor has a free-form value",
        _kinds("value", "struct"),
        lambda value: "nan" in repr(value) or "inf" in repr(value),
    ),
)


@pytest.fixture(scope="module")
def schema() -> EnvoySchema:
    return load_schema("1.40.0")


_WELL_KNOWN = {
    "google.protobuf.Any": "any",
    "google.protobuf.Duration": "duration",
    "google.protobuf.FieldMask": "mask",
    "google.protobuf.Struct": "struct",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Value": "value",
}


def _kind(field: FieldDescriptor) -> str:
    inner = field.message_type
    if inner is not None:
        if inner.file.name == "google/protobuf/wrappers.proto":
            return _kind(inner.fields_by_name["value"])
        return _WELL_KNOWN.get(inner.full_name, "message")
    if field.enum_type is not None:
        return "enum"
    return {
        FieldDescriptor.TYPE_BOOL: "bool",
        FieldDescriptor.TYPE_BYTES: "bytes",
        FieldDescriptor.TYPE_DOUBLE: "float",
        FieldDescriptor.TYPE_FLOAT: "float",
        FieldDescriptor.TYPE_STRING: "string",
    }.get(field.type, "integer")


def _explained(field: FieldDescriptor, value: Any) -> Difference | None:
    """Find the line for a value; for lists and maps, the line for one of their parts."""
    entry = field.message_type
    parts = [(_kind(field), value)]
    if entry is not None and entry.GetOptions().map_entry:
        inner = entry.fields_by_name["value"]
        parts = [(_kind(inner), part) for part in value.values()] if value else []
    elif field.is_repeated:
        parts = [(_kind(field), part) for part in value]
    for difference in DIFFERENCES:
        for kind, part in parts:
            if kind in difference.kinds and difference.applies(part):
                return difference
    return None


def _parses(schema: EnvoySchema, descriptor: Descriptor, message: dict[str, Any]) -> bool:
    try:
        ParseDict(
            copy.deepcopy(message), GetMessageClass(descriptor)(), descriptor_pool=schema.pool
        )
    except Exception:  # noqa: BLE001 - it lets several of its own mistakes out
        return False
    return True


def test_each_field_accepts_and_refuses_what_parse_dict_does(schema: EnvoySchema) -> None:
    unexplained: list[str] = []
    used: set[Difference] = set()
    count = 0

    for descriptor, field, value in field_samples(schema):
        message = {field.name: value}
        check = schema._checks._message(descriptor, has_rules=False)
        accepted = not check(message, 0)
        parsed = _parses(schema, descriptor, message)
        count += 1
        if accepted == parsed:
            continue
        difference = _explained(field, value) if parsed else None
        if difference is None:
            side = "only the checker accepts" if accepted else "only ParseDict accepts"
            unexplained.append(f"{side} {descriptor.full_name}.{field.name} = {value!r}")
        else:
            used.add(difference)

    assert unexplained == []
    assert [item.reason for item in DIFFERENCES if item not in used] == []
    assert count > 20_000


def test_two_members_of_a_oneof_are_refused_as_parse_dict_does(schema: EnvoySchema) -> None:
    for descriptor in reachable(schema):
        for oneof in descriptor.oneofs:
            for first, second in zip(oneof.fields, oneof.fields[1:], strict=False):
                message = {first.name: _simple(first), second.name: _simple(second)}
                check = schema._checks._message(descriptor, has_rules=False)

                assert not _parses(schema, descriptor, message), message
                assert check(message, 0), message
                assert not check({**message, first.name: None}, 0), message


def _simple(field: FieldDescriptor) -> Any:
    return {
        "any": {"@type": ROUTER},
        "bool": True,
        "bytes": "",
        "duration": "1s",
        "enum": 0,
        "float": 0,
        "integer": 0,
        "mask": "",
        "message": {},
        "string": "",
        "struct": {},
        "timestamp": "2026-01-31T12:00:00Z",
        "value": 1,
    }[_kind(field)]


def test_camel_case_names_are_refused_though_parse_dict_takes_them(schema: EnvoySchema) -> None:
    name = ROOTS[3]
    descriptor = schema.pool.FindMessageTypeByName(name)

    assert _parses(schema, descriptor, {"statPrefix": "x"})
    violations = schema.check(name, {"statPrefix": "x"})
    assert [item.message for item in violations] == ['is not a field: write "stat_prefix"']
