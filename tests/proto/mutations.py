"""Single changes to good messages, drawn from the descriptors.

A value for any field of any message in a good one: just inside or outside its limits, of a
wrong type, or under an unknown name.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from tests.proto.samples import HTTP_FILTERS, TYPES, Sample, any_of

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

_INTEGERS = {
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
}
WRONG: tuple[Any, ...] = (None, True, 7, -1, 1.5, "", "x", "5", [], {}, [None], {"x": 1}, [1])
TEXTS: tuple[str, ...] = ("", "x", "x-header", ":path", "a\nb", "a\x00b", "a b", "/p", "%A%", "ö")


class Mutator:
    """Changes one field somewhere in a message."""

    def __init__(self, pool: DescriptorPool, rng: random.Random) -> None:
        self._pool = pool
        self._rng = rng
        self._options = GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FieldOptions"))
        self._rules = pool.FindExtensionByName("validate.rules")

    def mutate(self, type_name: str, base: dict[str, Any]) -> Sample:
        """Return a copy of a good message with one change; never of the outermost name."""
        message = copy.deepcopy(base)
        root = self._pool.FindMessageTypeByName(type_name)
        place, descriptor, target = self._rng.choice(list(self._places(type_name, root, message)))
        fields = [
            field
            for field in descriptor.fields
            if (target is not message or field.name != "name") and field.name != "bind_to_port"
        ]
        if not fields or self._rng.random() < 0.04:
            name = self._rng.choice(["nope", "statPrefix", "name ", "typed_confg", "@type"])
            if name == "@type" and target is message:
                name = "nope"  # both sides take "@type" at the top for another thing
            target[name] = "type.googleapis.com/nope"
            return Sample(type_name=type_name, message=message, note=f"{place}: unknown {name}")
        field = self._rng.choice(fields)
        given = [known for known in fields if known.name in target]
        if given and self._rng.random() < 0.4:
            field = self._rng.choice(given)
        if field.name in target and self._rng.random() < 0.2:
            del target[field.name]
            return Sample(type_name=type_name, message=message, note=f"{place}: no {field.name}")
        if field.containing_oneof is not None and self._rng.random() < 0.85:
            for other in field.containing_oneof.fields:
                target.pop(other.name, None)
        value = self.value(field, depth=0)
        target[field.name] = value
        return Sample(
            type_name=type_name, message=message, note=f"{place}: {field.name} = {value!r}"
        )

    def _places(
        self, place: str, descriptor: Descriptor, message: Any
    ) -> Iterator[tuple[str, Descriptor, dict[str, Any]]]:
        """Find every message inside a message, also in Any."""
        if descriptor.full_name == "google.protobuf.Any":
            name = message["@type"].removeprefix(TYPES)
            descriptor = self._pool.FindMessageTypeByName(name)
        if descriptor.full_name.startswith("google.protobuf."):
            return
        yield f"{place}({descriptor.name})", descriptor, message
        for name, value in message.items():
            field = descriptor.fields_by_name.get(name)
            if field is None or field.message_type is None:
                continue
            inner: Descriptor = field.message_type
            parts: list[tuple[str, Any]] = [(name, value)]
            if inner.GetOptions().map_entry:
                parts = [(f"{name}[{key}]", item) for key, item in value.items()]
                found = inner.fields_by_name["value"].message_type
                if found is None:
                    continue
                inner = found
            elif field.is_repeated:
                parts = [(f"{name}[{index}]", item) for index, item in enumerate(value)]
            for step, part in parts:
                if isinstance(part, dict):
                    yield from self._places(f"{place}.{step}", inner, part)

    def value(self, field: FieldDescriptor, *, depth: int) -> Any:
        """Return a value for a field: often right, often only just wrong."""
        if self._rng.random() < 0.12:
            return copy.deepcopy(self._rng.choice(WRONG))
        entry = field.message_type
        limits = list(_limits(self._field_rules(field)))
        if entry is not None and entry.GetOptions().map_entry:
            key, item = entry.fields_by_name["key"], entry.fields_by_name["value"]
            return {
                str(self._single(key, limits, depth)): self._single(item, limits, depth)
                for _ in range(self._rng.randrange(3))
            }
        if field.is_repeated:
            count = self._rng.choice([0, 1, 1, 2])
            return [self._single(field, limits, depth) for _ in range(count)]
        return self._single(field, limits, depth)

    def _field_rules(self, field: FieldDescriptor) -> Message:
        options: Any = self._options()
        options.ParseFromString(field.GetOptions().SerializeToString())
        rules: Message = options.Extensions[self._rules]
        return rules

    def _single(self, field: FieldDescriptor, limits: list[Any], depth: int) -> Any:
        if field.message_type is not None:
            return self._message(field.message_type, limits, depth)
        return self._scalar(field, limits)

    def _message(  # noqa: PLR0911 - one line for each form that JSON has for a type
        self, descriptor: Descriptor, limits: list[Any], depth: int
    ) -> Any:
        choose = self._rng.choice
        name = descriptor.full_name
        if descriptor.file.name == "google/protobuf/wrappers.proto":
            return self._scalar(descriptor.fields_by_name["value"], limits)
        if name == "google.protobuf.Duration":
            close = [_seconds(limit, choose([-1, 0, 1])) for limit in limits if _is_message(limit)]
            return choose([*close, "0s", "0.5s", "-1s", "1", "1.0000000001s", "3s", "5m", ".5s"])
        if name == "google.protobuf.Any":
            return choose(
                [
                    any_of(HTTP_FILTERS + "router.v3.Router"),
                    any_of(HTTP_FILTERS + "nope.v3.Nope"),
                    any_of("google.protobuf.Struct", value={"a": 1}),
                    {},
                    {"@type": "x"},
                ]
            )
        if name in {"google.protobuf.Struct", "google.protobuf.Value"}:
            return choose([{}, {"a": {"b": [1, None, "x"]}}])
        if name == "google.protobuf.Timestamp":
            return choose(["2026-01-01T00:00:00Z", "2026-01-01", "x", 5])
        if name.startswith("google.protobuf.") or depth > 2:
            return {}
        names = [field.name for field in descriptor.fields]
        chosen = self._rng.sample(names, min(len(names), choose([0, 1, 1, 2])))
        return {
            field: self.value(descriptor.fields_by_name[field], depth=depth + 1) for field in chosen
        }

    def _scalar(self, field: FieldDescriptor, limits: list[Any]) -> Any:
        choose = self._rng.choice
        numbers = [limit for limit in limits if isinstance(limit, (int, float))]
        if field.type in _INTEGERS:
            low, high = _INTEGERS[field.type]
            close = [limit + choose([-1, 0, 1]) for limit in numbers]
            edges = [low, high, low - 1, high + 1]
            return choose([*close, *close, 0, 1, 2, choose(edges), "5", 1.0, "1e1", 1.5, "", " 1"])
        if field.type in {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}:
            close = [limit + choose([-0.5, 0, 0.5]) for limit in numbers]
            return choose([*close, 0, 0.5, 50.0, "1.5", "NaN", "Infinity", "inf", 1e39, "", True])
        if field.type == FieldDescriptor.TYPE_BOOL:
            return choose([True, False, True, False, "true", 1])
        if field.type == FieldDescriptor.TYPE_BYTES:
            return choose(["", "YQ==", "YQ", "a", "*", "Y Q==", "_-8="])
        if field.enum_type is not None:
            names = [value.name for value in field.enum_type.values]
            return choose([*names, "NOPE", names[0].lower(), 0, 1, 99, "0", True, 1.0])
        lengths = [limit for limit in numbers if isinstance(limit, int) and limit < 20_000]
        close_texts = ["x" * max(0, length + choose([-1, 0, 1])) for length in lengths]
        words = [limit for limit in limits if isinstance(limit, str)]
        return choose([*close_texts, *words, *TEXTS, "x", "y", 5, None])


def _is_message(value: object) -> bool:
    return hasattr(value, "DESCRIPTOR")


def _seconds(limit: Any, step: int) -> str:
    nanoseconds = limit.seconds * 10**9 + limit.nanos + step
    sign = "-" if nanoseconds < 0 else ""
    return f"{sign}{abs(nanoseconds) // 10**9}.{abs(nanoseconds) % 10**9:09}s"


def _limits(rules: Any) -> Iterator[Any]:
    """Find every number, text and duration in rules, whatever they mean."""
    for field, value in rules.ListFields():
        if field.message_type is None:
            yield from value if field.is_repeated else [value]
        elif field.message_type.full_name.startswith("google."):
            yield value
        else:
            yield from _limits(value)
