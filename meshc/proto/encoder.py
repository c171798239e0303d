"""From Envoy's JSON to wire bytes in one step, for messages that were checked.

protobuf's own way makes an object of each message, and another one of each payload, whose maps it
leaves in any order: five times the work, and a server does it for every resource.  Equal messages
give equal bytes: fields are in the order of their numbers, maps in that of their keys.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from meshc.proto import scalars
from meshc.proto.payloads import TYPE_URL_PREFIX
from meshc.proto.wellknown import NANOSECONDS, read_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import Descriptor, EnumDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool

Encoder: TypeAlias = Callable[[Any], bytes]
"""Turns a JSON value into bytes."""

_ANY = "google.protobuf.Any"
_DURATION = "google.protobuf.Duration"
_WRAPPERS = "google/protobuf/wrappers.proto"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KEY, _VALUE = 1, 2
_DOUBLE = struct.Struct("<d")
_MASK = 2**64 - 1


def _varint(value: int) -> bytes:
    if value < 0x80:  # noqa: PLR2004, seven bits a byte
        return value.to_bytes(1)
    parts = bytearray()
    while value > 0x7F:  # noqa: PLR2004, the same
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _sized(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _signed(read: scalars.Reader) -> Encoder:
    """Negative numbers have 64 bits, whatever their type."""
    return lambda value: _varint(read(value) & _MASK)


def _zigzag(read: scalars.Reader) -> Encoder:
    def encode(value: Any) -> bytes:
        number = read(value)
        return _varint((number << 1 ^ number >> 63) & _MASK)

    return encode


def _packed(read: scalars.Reader, layout: str) -> Encoder:
    pack = struct.Struct(layout).pack
    return lambda value: pack(read(value))


_INT32, _INT64 = scalars.integer_reader(scalars.INT32), scalars.integer_reader(scalars.INT64)
_UINT32, _UINT64 = scalars.integer_reader(scalars.UINT32), scalars.integer_reader(scalars.UINT64)
_SCALARS: Mapping[int, tuple[int, Encoder]] = {
    FieldDescriptor.TYPE_DOUBLE: (_FIXED64, _packed(scalars.read_double, "<d")),
    FieldDescriptor.TYPE_FLOAT: (_FIXED32, _packed(scalars.read_float, "<f")),
    FieldDescriptor.TYPE_INT64: (_VARINT, _signed(_INT64)),
    FieldDescriptor.TYPE_UINT64: (_VARINT, _signed(_UINT64)),
    FieldDescriptor.TYPE_INT32: (_VARINT, _signed(_INT32)),
    FieldDescriptor.TYPE_UINT32: (_VARINT, _signed(_UINT32)),
    FieldDescriptor.TYPE_SINT32: (_VARINT, _zigzag(_INT32)),
    FieldDescriptor.TYPE_SINT64: (_VARINT, _zigzag(_INT64)),
    FieldDescriptor.TYPE_FIXED64: (_FIXED64, _packed(_UINT64, "<Q")),
    FieldDescriptor.TYPE_FIXED32: (_FIXED32, _packed(_UINT32, "<I")),
    FieldDescriptor.TYPE_SFIXED64: (_FIXED64, _packed(_INT64, "<q")),
    FieldDescriptor.TYPE_SFIXED32: (_FIXED32, _packed(_INT32, "<i")),
    FieldDescriptor.TYPE_BOOL: (_VARINT, lambda value: _varint(scalars.read_bool(value))),
    FieldDescriptor.TYPE_STRING: (
        _BYTES,
        lambda value: _sized(scalars.read_string(value).encode()),
    ),
    FieldDescriptor.TYPE_BYTES: (_BYTES, lambda value: _sized(scalars.read_bytes(value))),
}


class _Fields(dict[str, tuple[int, Encoder]]):
    """Fields of a message by name, made when they are first used."""

    def __init__(self, descriptor: Descriptor, make: Callable[[FieldDescriptor], Encoder]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._make = make

    def __missing__(self, name: str) -> tuple[int, Encoder]:
        field = self._descriptor.fields_by_name[name]
        self[name] = found = (field.number, self._make(field))
        return found


class EncoderCompiler:
    """Makes and keeps the encoders of all message types of one descriptor pool.

    They raise KeyError, ValueError, TypeError, AttributeError or Refused for what was not
    checked.
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self._encoders: dict[str, Encoder] = {_ANY: self._any, _DURATION: _duration, **_FREE_FORM}
        self._payloads: dict[str, Encoder] = {}

    def message(self, descriptor: Descriptor) -> Encoder:
        """Return the encoder of a message type."""
        name = descriptor.full_name
        if name not in self._encoders:
            if descriptor.file.name == _WRAPPERS:
                self._encoders[name] = self._field(descriptor.fields_by_name["value"])
            elif descriptor.file.package == "google.protobuf" and descriptor.fields:
                self._encoders[name] = self._by_protobuf(descriptor)
            else:
                self._encoders[name] = self._by_fields(descriptor)
        return self._encoders[name]

    def _by_fields(self, descriptor: Descriptor) -> Encoder:
        fields = _Fields(descriptor, self._field)

        def encode(message: Any) -> bytes:
            parts = []
            for name, value in message.items():
                if value is None and not _takes_null(descriptor, name):
                    continue
                number, encoded = fields[name]
                parts.append((number, encoded(value)))
            parts.sort(key=_NUMBER)
            return b"".join([part for _, part in parts])

        return encode

    def _by_protobuf(self, descriptor: Descriptor) -> Encoder:
        """Leave what is rare and has a JSON form of its own to protobuf."""
        kind: Any = GetMessageClass(descriptor)
        return lambda value: bytes(
            ParseDict(value, kind(), descriptor_pool=self._pool).SerializeToString(
                deterministic=True
            )
        )

    def _field(self, field: FieldDescriptor) -> Encoder:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            return self._map(field, entry)
        wire, encode = self._single(field)
        tag = _varint(field.number << 3 | wire)
        if not field.is_repeated:
            return _present(tag, encode) if field.has_presence else _not_zero(tag, encode)
        if field.is_packed:
            return _together(_varint(field.number << 3 | _BYTES), encode)
        return lambda values: b"".join([tag + encode(value) for value in values])

    def _single(self, field: FieldDescriptor) -> tuple[int, Encoder]:
        """Return the kind and the encoder of one value of a field."""
        if field.message_type is not None:
            message = self.message(field.message_type)
            return _BYTES, lambda value: _sized(message(value))
        if field.enum_type is not None:
            number = _signed(scalars.enum_reader(_numbers(field.enum_type)))
            return _VARINT, lambda value: _varint(0) if value is None else number(value)
        return _SCALARS[field.type]

    def _map(self, field: FieldDescriptor, entry: Descriptor) -> Encoder:
        tag = _varint(field.number << 3 | _BYTES)
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        key_wire, key_of = self._single(key)
        if key.type == FieldDescriptor.TYPE_BOOL:
            key_of = _bool_key
        value_wire, value_of = self._single(value)
        key_tag, value_tag = _varint(_KEY << 3 | key_wire), _varint(_VALUE << 3 | value_wire)
        order = _order(key)

        def encode(entries: Any) -> bytes:
            return b"".join(
                [
                    tag + _sized(key_tag + key_of(name) + value_tag + value_of(entries[name]))
                    for name in sorted(entries, key=order)
                ]
            )

        return encode

    def _any(self, value: Any) -> bytes:
        if not value:
            return b""
        type_url = value["@type"]
        encode = self._payloads.get(type_url)
        if encode is None:
            encode = self._payloads[type_url] = self._payload(type_url)
        payload = encode(value)
        return (
            _ANY_TYPE
            + _sized(type_url.encode())
            + (_ANY_VALUE + _sized(payload) if payload else b"")
        )

    def _payload(self, type_url: str) -> Encoder:
        descriptor = self._pool.FindMessageTypeByName(type_url.removeprefix(TYPE_URL_PREFIX))
        encode = self.message(descriptor)
        if descriptor.file.package == "google.protobuf" and descriptor.fields:
            return lambda value: encode(value["value"])
        return lambda value: encode({name: one for name, one in value.items() if name != "@type"})


_NUMBER = itemgetter(0)
_ANY_TYPE, _ANY_VALUE = b"\x0a", b"\x12"


def _numbers(enum: EnumDescriptor) -> Mapping[str, int]:
    return {value.name: value.number for value in enum.values}


def _takes_null(descriptor: Descriptor, name: str) -> bool:
    """Whether null is a value and not the lack of one."""
    field = descriptor.fields_by_name[name]
    kind = field.message_type or field.enum_type
    return kind is not None and kind.full_name in _TAKE_NULL and not field.is_repeated


def _present(tag: bytes, encode: Encoder) -> Encoder:
    return lambda value: tag + encode(value)


def _not_zero(tag: bytes, encode: Encoder) -> Encoder:
    """Leave out a value that is that of a field which is not there."""

    def encoded(value: Any) -> bytes:
        data = encode(value)
        return tag + data if any(data) else b""

    return encoded


def _together(tag: bytes, encode: Encoder) -> Encoder:
    """Put all values of a list into one field."""

    def encoded(values: Any) -> bytes:
        data = b"".join(map(encode, values))
        return tag + _sized(data) if data else b""

    return encoded


def _order(key: FieldDescriptor) -> Callable[[Any], Any]:
    """Return what sorts the keys of a map as protobuf does."""
    if key.type == FieldDescriptor.TYPE_STRING:
        return str.encode
    return int if key.type != FieldDescriptor.TYPE_BOOL else "true".__eq__


def _bool_key(name: Any) -> bytes:
    return _varint(scalars.read_bool_key(name))


def _duration(value: Any) -> bytes:
    nanoseconds = read_duration(value)
    seconds, rest = divmod(abs(nanoseconds), NANOSECONDS)
    if nanoseconds < 0:
        seconds, rest = -seconds, -rest
    return (b"\x08" + _varint(seconds & _MASK) if seconds else b"") + (
        b"\x10" + _varint(rest & _MASK) if rest else b""
    )


def _free_value(value: Any) -> bytes:
    """Encode ``google.protobuf.Value``: anything that JSON can say."""
    if value is None:
        return b"\x08\x00"
    if value is True or value is False:
        return b"\x20\x01" if value else b"\x20\x00"
    if isinstance(value, str):
        return b"\x1a" + _sized(value.encode())
    if isinstance(value, dict):
        return b"\x2a" + _sized(_free_object(value))
    if isinstance(value, (list, tuple)):
        return b"\x32" + _sized(_free_list(value))
    return b"\x11" + _DOUBLE.pack(value)


def _free_object(value: Any) -> bytes:
    return b"".join(
        [
            b"\x0a"
            + _sized(b"\x0a" + _sized(name.encode()) + b"\x12" + _sized(_free_value(value[name])))
            for name in sorted(value, key=str.encode)
        ]
    )


def _free_list(value: Any) -> bytes:
    return b"".join([b"\x0a" + _sized(_free_value(one)) for one in value])


_FREE_VALUE, _NULL = "google.protobuf.Value", "google.protobuf.NullValue"
_TAKE_NULL = frozenset({_FREE_VALUE, _NULL})
_FREE_FORM: Mapping[str, Encoder] = {
    _FREE_VALUE: _free_value,
    "google.protobuf.Struct": _free_object,
    "google.protobuf.ListValue": _free_list,
}
