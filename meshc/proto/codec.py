"""Messages as bytes on the wire, for the gRPC server and for comparing with other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from google.protobuf.json_format import MessageToDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from meshc.diagnostics import InternalError
from meshc.proto.encoder import EncoderCompiler
from meshc.proto.payloads import TYPE_URL_PREFIX
from meshc.proto.scalars import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

_UNCHECKED = (KeyError, ValueError, TypeError, AttributeError, RecursionError, ParseError)
"""What an encoder meets in a message that nobody has checked."""


class Codec:
    """Translates between Envoy's JSON and wire bytes with the types of one pool."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self._encoders = EncoderCompiler(pool)

    def to_wire(self, type_url: str, message: Mapping[str, Any]) -> bytes:
        """Encode a message; equal messages give equal bytes in every process."""
        encode = self._encoders.message(self._descriptor(type_url))
        try:
            return encode(message)
        except (*_UNCHECKED, Refused) as error:
            raise InternalError(
                f'an unchecked message "{type_url}" is to be encoded: {error!r}'
            ) from error

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
        return GetMessageClass(self._descriptor(type_url))()

    def _descriptor(self, type_url: str) -> Descriptor:
        try:
            return self._pool.FindMessageTypeByName(type_url.removeprefix(TYPE_URL_PREFIX))
        except KeyError as error:
            raise InternalError(f'there is no message type "{type_url}"') from error
