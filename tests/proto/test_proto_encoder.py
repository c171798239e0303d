"""The encoder beside protobuf: what it writes is read as what protobuf reads from the same JSON."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from meshc.proto import EnvoySchema, load_schema
from tests.proto import samples
from tests.proto.fields import field_samples
from tests.proto.mutations import Mutator

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

_ANY = "google.protobuf.Any"


@pytest.fixture(scope="module")
def schema() -> EnvoySchema:
    return load_schema("1.40.0")


def _new(schema: EnvoySchema, name: str) -> Any:
    kind = schema.pool.FindMessageTypeByName(name.removeprefix(samples.TYPES))
    return GetMessageClass(kind)()


def _in_order(schema: EnvoySchema, message: Any) -> bytes:
    """Write a message with all maps in order, also those of payloads."""
    if message.DESCRIPTOR.full_name == _ANY and message.type_url:
        payload = _new(schema, message.type_url)
        payload.ParseFromString(message.value)
        message.value = _in_order(schema, payload)
    for field, value in message.ListFields():
        entry = field.message_type
        if entry is None:
            continue
        if not field.is_repeated:
            _in_order(schema, value)
            continue
        is_map = entry.GetOptions().map_entry
        if is_map and entry.fields_by_name["value"].message_type is None:
            continue
        for one in value.values() if is_map else value:
            _in_order(schema, one)
    return bytes(message.SerializeToString(deterministic=True))


def _expected(schema: EnvoySchema, name: str, message: dict[str, Any]) -> bytes:
    """Let protobuf read the JSON."""
    parsed = _new(schema, name)
    ParseDict(copy.deepcopy(message), parsed, descriptor_pool=schema.pool)
    return _in_order(schema, parsed)


def _found(schema: EnvoySchema, name: str, message: dict[str, Any]) -> bytes:
    """Let protobuf read the bytes."""
    parsed = _new(schema, name)
    parsed.ParseFromString(schema.to_wire(name, message))
    return _in_order(schema, parsed)


def test_each_field_is_written_as_protobuf_reads_it(schema: EnvoySchema) -> None:
    wrong: list[str] = []
    count = 0
    for descriptor, field, value in field_samples(schema):
        message = {field.name: value}
        if not _is_right(schema, descriptor, message):
            continue
        count += 1
        name = descriptor.full_name
        if _found(schema, name, message) != _expected(schema, name, message):
            wrong.append(f"{name}.{field.name} = {value!r}")

    assert wrong == []
    assert count > 5_000


def _is_right(schema: EnvoySchema, descriptor: Descriptor, message: dict[str, Any]) -> bool:
    return not schema._checks._message(descriptor, has_rules=False)(message, 0)


@pytest.mark.parametrize("name", [samples.CLUSTER, samples.LISTENER])
def test_changed_messages_are_written_as_protobuf_reads_them(
    schema: EnvoySchema, name: str
) -> None:
    good = samples.cluster() if name == samples.CLUSTER else samples.listener()
    mutator = Mutator(schema.pool, random.Random(6))
    count = 0

    for _ in range(400):
        sample = mutator.mutate(name, good)
        if schema.check(name, sample.message):
            continue
        count += 1
        found = _found(schema, name, sample.message)
        assert found == _expected(schema, name, sample.message), sample.note

    assert count > 50


@pytest.mark.parametrize("name", [samples.CLUSTER, samples.LISTENER])
def test_the_order_of_fields_and_keys_does_not_matter(schema: EnvoySchema, name: str) -> None:
    message = samples.cluster() if name == samples.CLUSTER else samples.listener()
    message["metadata"] = {"filter_metadata": {"a": {"x": 1}, "b": {}}}

    assert schema.to_wire(name, _backwards(message)) == schema.to_wire(name, message)


def _backwards(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _backwards(one) for name, one in reversed(value.items())}
    return [_backwards(one) for one in value] if isinstance(value, list) else value
