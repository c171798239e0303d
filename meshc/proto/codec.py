"""Messages as bytes on the wire, for the gRPC server and for comparing with other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from meshc.diagnostics import InternalError
from meshc.proto.payloads import TYPE_URL_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

_ANY = "google.protobuf.Any"


class Codec:
    """Translates between Envoy's JSON and wire bytes with the types of one pool."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def to_wire(self, type_url: str, message: Mapping[str, Any]) -> bytes:
        """Encode a message; equal messages give equal bytes in every process."""
        # ParseDict takes "@type" out of the dictionaries it is given and puts it back.
        copied = orjson.loads(orjson.dumps(message))
        parsed = self._new(type_url)
        try:
            ParseDict(copied, parsed, descriptor_pool=self._pool)
        except ParseError as error:
            raise InternalError(f"an unchecked message is to be encoded: {error}") from error
        self._repack(parsed)
        return parsed.SerializeToString(deterministic=True)

    def from_wire(self, type_url: str, wire: bytes) -> dict[str, Any]:
        """Decode a message into Envoy's JSON with field names as in its documentation."""
        message = self._new(type_url)
        try:
            message.ParseFromString(wire)
            found = MessageToDict(
                message, preserving_proto_field_name=True, descriptor_pool=self._pool
            )
        except (DecodeError, TypeError, ValueError) as error:
            raise InternalError(f'bytes are not a message "{type_url}": {error}') from error
        # Payloads come as OrderedDict; plain dictionaries are what everybody else has.
        plain: dict[str, Any] = orjson.loads(orjson.dumps(found))
        return plain

    def _new(self, type_url: str) -> Message:
        try:
            descriptor = self._pool.FindMessageTypeByName(type_url.removeprefix(TYPE_URL_PREFIX))
        except KeyError as error:
            raise InternalError(f'there is no message type "{type_url}"') from error
        return GetMessageClass(descriptor)()

    def _repack(self, message: Message) -> None:
        """Encode the payload of each Any again: ParseDict writes maps in random order there."""
        if message.DESCRIPTOR.full_name == _ANY:
            self._repack_any(message)
            return
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            if not field.is_repeated:
                self._repack(value)
            elif not field.message_type.GetOptions().map_entry:
                for item in value:
                    self._repack(item)
            elif field.message_type.fields_by_name["value"].message_type is not None:
                for item in value.values():
                    self._repack(item)

    def _repack_any(self, message: Any) -> None:
        if not message.type_url:
            return
        payload = self._new(message.type_url)
        payload.ParseFromString(message.value)
        self._repack(payload)
        message.value = payload.SerializeToString(deterministic=True)
