"""The message types that have a JSON form of their own: durations, times, free-form values."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from meshc.proto.faults import CLEAN, MAX_DEPTH, TOO_DEEP, Check, Faults, fault, gather, quoted
from meshc.proto.scalars import Refused, read_double, read_string, ruled

if TYPE_CHECKING:
    from collections.abc import Mapping

NANOSECONDS = 10**9
_LONGEST_DURATION = 315_576_000_000  # seconds: ten thousand years, protobuf's limit
_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
_FIELD_MASK = re.compile(r"(?:[A-Za-z0-9.]+(?:,[A-Za-z0-9.]+)*)?")


def read_duration(value: Any) -> int:
    """Read ``1.5s`` as nanoseconds."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Refused(f'must be a duration in seconds such as "0.25s", not {quoted(value)}')
    sign, seconds, fraction = found.groups(default="")
    if int(seconds) > _LONGEST_DURATION:
        raise Refused(f"must be at most {_LONGEST_DURATION} seconds, not {quoted(value)}")
    nanoseconds = int(seconds) * NANOSECONDS + int(fraction.ljust(9, "0"))
    return -nanoseconds if sign else nanoseconds


def read_timestamp(value: Any) -> dt.datetime:
    """Read a time of RFC 3339; the fraction of a second is checked and left out."""
    found = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Refused(f'must be a time such as "2026-01-31T12:00:00Z", not {quoted(value)}')
    try:
        return dt.datetime.fromisoformat(found[1] + found[2]).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise Refused(f"must be a time that exists, not {quoted(value)}") from error


def read_field_mask(value: Any) -> str:
    """Read field paths joined by commas, in lower camel case as JSON has them."""
    if isinstance(value, str) and _FIELD_MASK.fullmatch(value):
        return value
    raise Refused(f"must be field paths joined by commas, not {quoted(value)}")


def check_struct(value: Any, depth: int) -> Faults:
    """Check ``google.protobuf.Struct``: any object."""
    if not isinstance(value, dict):
        return fault(f"must be an object, not {quoted(value)}")
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    found: Faults = CLEAN
    for key, item in value.items():
        if faults := _check_key(key, depth):
            found = gather(found, f"[{quoted(key)}]", faults)
        if faults := check_value(item, depth + 1):
            found = gather(found, f"[{quoted(key)}]", faults)
    return found


def check_list(value: Any, depth: int) -> Faults:
    """Check ``google.protobuf.ListValue``: any list."""
    if not isinstance(value, (list, tuple)):
        return fault(f"must be a list, not {quoted(value)}")
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    found: Faults = CLEAN
    for index, item in enumerate(value):
        if faults := check_value(item, depth + 1):
            found = gather(found, f"[{index}]", faults)
    return found


def check_value(value: Any, depth: int) -> Faults:
    """Check ``google.protobuf.Value``: anything that JSON can say."""
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    if value is None or value is True or value is False:
        return CLEAN
    if isinstance(value, str):
        return _check_text(value, depth)
    if isinstance(value, dict):
        return check_struct(value, depth + 1)
    if isinstance(value, (list, tuple)):
        return check_list(value, depth + 1)
    return _check_number(value, depth)


_check_text = ruled(read_string, ())
_check_key = _check_text


def _read_number(value: Any) -> float:
    if isinstance(value, str):  # read_double takes "NaN"; here it would be a text
        raise Refused(f"must be JSON, not {quoted(value)}")
    return read_double(value)


_check_number = ruled(_read_number, ())

OWN_FORM: Mapping[str, Check] = {
    "google.protobuf.FieldMask": ruled(read_field_mask, ()),
    "google.protobuf.ListValue": check_list,
    "google.protobuf.Struct": check_struct,
    "google.protobuf.Timestamp": ruled(read_timestamp, ()),
    "google.protobuf.Value": check_value,
}
"""Checks of the types that no rule of Envoy's looks into."""
