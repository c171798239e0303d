"""Requests from bytes, responses to bytes, in the wire format of protocol buffers.

A response is joined from fields that were encoded once for all nodes, so sending one costs
microseconds; the few fields of a request are read without the rest of the message, such as the
hundreds of extensions that an Envoy lists in its node.  Field numbers: Envoy's
``envoy/service/discovery/v3/discovery.proto``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MOST_VARINT_BITS = 64
_NODE_ID, _NODE_USER_AGENT = 1, 6
_STATUS_MESSAGE = 2
_MOST_TEXT = 512
"""Bytes of a name, a type or a version, each of which is remembered."""
_MOST_REASON = 1024
"""Characters of what a client says of a refusal that are kept."""


class WireError(ValueError):
    """Bytes that are no such message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A state-of-the-world request.  ``node`` is None where it says nothing of the node."""

    type_url: str = ""
    node: str | None = None
    user_agent: str = ""
    names: tuple[str, ...] = ()
    version: str = ""
    nonce: str = ""
    error: str | None = None
    """Why the client refused what it got under ``nonce``; None: it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaRequest:
    """A delta request."""

    type_url: str = ""
    node: str | None = None
    user_agent: str = ""
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    """What the client has from an earlier stream: name → version."""
    nonce: str = ""
    error: str | None = None


def read_request(data: bytes) -> Request:
    """Read a `DiscoveryRequest`; raises WireError."""
    version = type_url = nonce = user_agent = ""
    node = error = None
    names: list[str] = []
    for number, value in _fields(data):
        match number:
            case 1:
                version = _text(value)
            case 2:
                node, user_agent = _node(value)
            case 3:
                names.append(_text(value))
            case 4:
                type_url = _text(value)
            case 5:
                nonce = _text(value)
            case 6:
                error = _status_message(value)
            case _:
                pass
    return Request(
        type_url=type_url,
        node=node,
        user_agent=user_agent,
        names=tuple(names),
        version=version,
        nonce=nonce,
        error=error,
    )


def read_delta_request(data: bytes) -> DeltaRequest:
    """Read a `DeltaDiscoveryRequest`; raises WireError."""
    type_url = nonce = user_agent = ""
    node = error = None
    subscribe: list[str] = []
    unsubscribe: list[str] = []
    known: dict[str, str] = {}
    for number, value in _fields(data):
        match number:
            case 1:
                node, user_agent = _node(value)
            case 2:
                type_url = _text(value)
            case 3:
                subscribe.append(_text(value))
            case 4:
                unsubscribe.append(_text(value))
            case 5:
                entry = dict(_fields(_bytes(value)))
                known[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
            case 6:
                nonce = _text(value)
            case 7:
                error = _status_message(value)
            case _:
                pass
    return DeltaRequest(
        type_url=type_url,
        node=node,
        user_agent=user_agent,
        subscribe=tuple(subscribe),
        unsubscribe=tuple(unsubscribe),
        known=known,
        nonce=nonce,
        error=error,
    )


def response(*, type_url: str, version: str, nonce: str, resources: Iterable[bytes]) -> bytes:
    """Write a `DiscoveryResponse` from the pieces of encoded ``resources`` fields."""
    return b"".join(
        (
            length_delimited(1, version.encode()),
            *resources,
            length_delimited(4, type_url.encode()),
            length_delimited(5, nonce.encode()),
        )
    )


def delta_response(
    *,
    type_url: str,
    version: str,
    nonce: str,
    resources: Iterable[bytes],
    removed: Iterable[str],
) -> bytes:
    """Write a `DeltaDiscoveryResponse` from the pieces of encoded ``resources`` fields."""
    return b"".join(
        (
            length_delimited(1, version.encode()),
            *resources,
            length_delimited(4, type_url.encode()),
            length_delimited(5, nonce.encode()),
            *(length_delimited(6, name.encode()) for name in removed),
        )
    )


def length_delimited(number: int, data: bytes) -> bytes:
    """Write one field that holds bytes."""
    return length_head(number, len(data)) + data


def length_head(number: int, size: int) -> bytes:
    """Write what stands before ``size`` bytes of one field."""
    return _varint(number << 3 | _LENGTH) + _varint(size)


def number_field(number: int, value: int) -> bytes:
    """Write one field that holds a number or an enumeration."""
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:  # noqa: PLR2004, seven bits a byte
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield (number, value) of each field; nested messages stay bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        if not number:
            raise WireError("a field without a number")
        match kind:
            case 0:
                value, at = _read_varint(data, at)
                yield number, value
                continue
            case 1:
                size = 8
            case 2:
                size, at = _read_varint(data, at)
            case 5:
                size = 4
            case _:
                raise WireError(f"a field of kind {kind}")
        if size > end - at:
            raise WireError("the message is cut off")
        yield number, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift >= _MOST_VARINT_BITS:
            raise WireError("a number is cut off or too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004, the last byte of a number
            return value, at
        shift += 7


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise WireError("a number where a text belongs")
    return value


def _text(value: bytes | int, most: int = _MOST_TEXT) -> str:
    data = _bytes(value)
    if len(data) > most:
        raise WireError(f"a text of more than {most} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise WireError("a text is not UTF-8") from error


def _node(value: bytes | int) -> tuple[str, str]:
    """Return the name of a node, and that of the program that it runs."""
    name = user_agent = ""
    for number, part in _fields(_bytes(value)):
        if number == _NODE_ID:
            name = _text(part)
        elif number == _NODE_USER_AGENT:
            user_agent = _text(part)
    return name, user_agent


def _status_message(value: bytes | int) -> str:
    """Return the text of a `google.rpc.Status`; a refusal without a text is one too."""
    found = ""
    for number, part in _fields(_bytes(value)):
        if number == _STATUS_MESSAGE:
            # The end may be in the middle of a character.
            found = _bytes(part)[: 4 * _MOST_REASON].decode(errors="replace")[:_MOST_REASON]
    return found


def read_texts(data: bytes) -> dict[int, str]:
    """Read a message of texts alone: field number → last value; raises WireError."""
    return {number: _text(value) for number, value in _fields(data)}
