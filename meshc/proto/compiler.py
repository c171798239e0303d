"""From protobuf descriptors to checks: which check each field gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from meshc.proto import scalars, wellknown
from meshc.proto.faults import CLEAN, Check, Faults
from meshc.proto.messages import FieldChecks, Oneof, map_check, message_check, repeated_check
from meshc.proto.payloads import TYPE_URL_PREFIX, CleanPayloads, any_check, wrapped_check
from meshc.proto.rules import NO_RULES, FieldRules, field_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.descriptor import Descriptor, OneofDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool

    from meshc.proto.rules import Rule

_ANY = "google.protobuf.Any"
_DURATION = "google.protobuf.Duration"
_WRAPPERS = "google/protobuf/wrappers.proto"

_READERS: Mapping[int, scalars.Reader] = {
    FieldDescriptor.TYPE_DOUBLE: scalars.read_double,
    FieldDescriptor.TYPE_FLOAT: scalars.read_float,
    FieldDescriptor.TYPE_INT64: scalars.integer_reader(scalars.INT64),
    FieldDescriptor.TYPE_UINT64: scalars.integer_reader(scalars.UINT64),
    FieldDescriptor.TYPE_INT32: scalars.integer_reader(scalars.INT32),
    FieldDescriptor.TYPE_FIXED64: scalars.integer_reader(scalars.UINT64),
    FieldDescriptor.TYPE_FIXED32: scalars.integer_reader(scalars.UINT32),
    FieldDescriptor.TYPE_BOOL: scalars.read_bool,
    FieldDescriptor.TYPE_BYTES: scalars.read_bytes,
    FieldDescriptor.TYPE_UINT32: scalars.integer_reader(scalars.UINT32),
    FieldDescriptor.TYPE_SFIXED32: scalars.integer_reader(scalars.INT32),
    FieldDescriptor.TYPE_SFIXED64: scalars.integer_reader(scalars.INT64),
    FieldDescriptor.TYPE_SINT32: scalars.integer_reader(scalars.INT32),
    FieldDescriptor.TYPE_SINT64: scalars.integer_reader(scalars.INT64),
}
_MEMO_LIMIT = 100_000  # about 15 MB; a mesh of ten thousand nodes has a tenth of it


class CheckCompiler:
    """Makes and keeps the checks of all message types of one descriptor pool."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        # The options must be read with this pool's classes: in the default pool, the rules
        # are an extension that nobody knows.
        self._field_options = self._message_class("google.protobuf.FieldOptions")
        self._oneof_options = self._message_class("google.protobuf.OneofOptions")
        self._rules = pool.FindExtensionByName("validate.rules")
        self._oneof_required = pool.FindExtensionByName("validate.required")
        self._messages: dict[tuple[str, bool, bool], Check] = {}
        self._payloads: dict[str, Check] = {}
        self._clean = CleanPayloads(_MEMO_LIMIT)
        self._any = any_check(self.payload, self._clean)

    def _message_class(self, name: str) -> Any:
        return GetMessageClass(self._pool.FindMessageTypeByName(name))

    def resource(self, type_url: str) -> Check | None:
        """Return the check of a message type, or nothing for an unknown type."""
        try:
            descriptor = self._pool.FindMessageTypeByName(type_url.removeprefix(TYPE_URL_PREFIX))
        except KeyError:
            return None
        return self._message(descriptor, has_rules=True)

    def payload(self, type_name: str) -> Check | None:
        """Return the check of a message type inside an Any, or nothing for an unknown type."""
        if type_name not in self._payloads:
            try:
                descriptor = self._pool.FindMessageTypeByName(type_name)
            except KeyError:
                return None
            if _has_own_form(descriptor):
                check = wrapped_check(self._message(descriptor, has_rules=True))
            else:
                check = self._message(descriptor, has_rules=True, in_any=True)
            self._payloads[type_name] = check
        return self._payloads[type_name]

    def _message(
        self,
        descriptor: Descriptor,
        *,
        has_rules: bool,
        in_any: bool = False,
        rules: tuple[Rule, ...] = (),
    ) -> Check:
        """Make the check of a message; ``rules`` are about a wrapped value or a duration."""
        name = descriptor.full_name
        if name == _ANY:
            return self._any
        if name == _DURATION:
            return scalars.ruled(wellknown.read_duration, rules)
        if name in wellknown.OWN_FORM:
            return wellknown.OWN_FORM[name]
        if descriptor.file.name == _WRAPPERS:
            return _scalar(descriptor.fields_by_name["value"], rules)
        key = (name, has_rules, in_any)
        if key not in self._messages:
            self._messages[key] = self._fields(descriptor, has_rules=has_rules, in_any=in_any)
        return self._messages[key]

    def _fields(self, descriptor: Descriptor, *, has_rules: bool, in_any: bool) -> Check:
        rules = {
            field.name: self._field_rules(field) if has_rules else NO_RULES
            for field in descriptor.fields
        }
        checks = FieldChecks(
            {field.name: field.json_name for field in descriptor.fields},
            lambda name: self._field(
                descriptor.fields_by_name[name], rules[name], has_rules=has_rules
            ),
        )
        if in_any:
            checks["@type"] = _accept
        missing = [
            (field.name, faults)
            for field in descriptor.fields
            if (faults := _missing(field, rules[field.name]))
        ]
        return message_check(checks, missing, list(self._oneofs(descriptor, has_rules=has_rules)))

    def _field_rules(self, field: FieldDescriptor) -> FieldRules:
        options = self._field_options.FromString(field.GetOptions().SerializeToString())
        if not options.HasExtension(self._rules):
            return NO_RULES
        enum = field.enum_type
        if (entry := _map_entry(field)) is not None:
            enum = entry.fields_by_name["value"].enum_type
        names = {value.number: value.name for value in enum.values} if enum is not None else {}
        return field_rules(options.Extensions[self._rules], names)

    def _oneofs(self, descriptor: Descriptor, *, has_rules: bool) -> Iterator[Oneof]:
        for oneof in descriptor.oneofs:
            names = tuple(field.name for field in oneof.fields)
            is_required = has_rules and self._is_required(oneof)
            if is_required or len(names) > 1:
                yield Oneof(frozenset(names), names, is_required)

    def _is_required(self, oneof: OneofDescriptor) -> bool:
        options = self._oneof_options.FromString(oneof.GetOptions().SerializeToString())
        return bool(options.Extensions[self._oneof_required])

    def _field(self, field: FieldDescriptor, rules: FieldRules, *, has_rules: bool) -> Check:
        if (entry := _map_entry(field)) is not None:
            key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
            return map_check(
                _map_key(key, (rules.keys or NO_RULES).value),
                self._single(value, rules.values or NO_RULES, has_rules=has_rules),
                rules.value,
            )
        if field.is_repeated:
            item = self._single(field, rules.items or NO_RULES, has_rules=has_rules)
            return repeated_check(item, rules.value)
        return self._single(field, rules, has_rules=has_rules)

    def _single(self, field: FieldDescriptor, rules: FieldRules, *, has_rules: bool) -> Check:
        if field.message_type is None:
            return _scalar(field, rules.value)
        return self._message(
            field.message_type, has_rules=has_rules and not rules.is_skipped, rules=rules.value
        )


def _accept(_value: Any, _depth: int) -> Faults:
    return CLEAN


def _map_entry(field: FieldDescriptor) -> Descriptor | None:
    """Return the type of a map's entries, or nothing for a field that is no map."""
    entry = field.message_type
    return entry if entry is not None and entry.GetOptions().map_entry else None


def _has_own_form(descriptor: Descriptor) -> bool:
    return (
        descriptor.full_name in {_ANY, _DURATION}
        or descriptor.full_name in wellknown.OWN_FORM
        or descriptor.file.name == _WRAPPERS
    )


def _scalar(field: FieldDescriptor, rules: tuple[Rule, ...]) -> Check:
    if field.type == FieldDescriptor.TYPE_STRING:
        return scalars.string_check(rules)
    if field.enum_type is not None:
        numbers = {value.name: value.number for value in field.enum_type.values}
        return scalars.ruled(scalars.enum_reader(numbers), rules)
    return scalars.ruled(_READERS[field.type], rules)


def _map_key(field: FieldDescriptor, rules: tuple[Rule, ...]) -> Check:
    if field.type == FieldDescriptor.TYPE_BOOL:
        return scalars.ruled(scalars.read_bool_key, rules)
    return _scalar(field, rules)


def _missing(field: FieldDescriptor, rules: FieldRules) -> Faults:
    """Say what is wrong when the field is not set.

    A scalar that is not set is zero or empty for Envoy, and its rules apply to that; so it
    is with lists and maps.  A message that is not set is not looked at, and neither is the
    member of a oneof, even a "required" one: that only matters when it is the one chosen.
    """
    path = f".{field.name}"
    if field.containing_oneof is not None:
        return CLEAN
    if rules.is_required:
        return ((path, "is required"),)
    if field.message_type is not None and not field.is_repeated:
        return CLEAN
    default: Any = () if field.is_repeated else field.default_value
    return tuple(
        (path, f"is required: it {rule.message}")
        for rule in rules.value
        if not rule.accepts(default)
    )
