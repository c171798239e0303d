"""JSON scalars as protobuf reads them: what is taken for a number, a text, an enum value.

Accepted is what both Envoy (protobuf for C++) and ``json_format.ParseDict`` accept; where
they differ, a value that one of them refuses is refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from meshc.proto.faults import CLEAN, Check, Faults, fault, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.proto.rules import Rule

Reader: TypeAlias = Callable[[Any], Any]
"""Turns a JSON value into the Python value that rules compare; raises ``Refused``."""

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)
UINT32 = (0, 2**32 - 1)
UINT64 = (0, 2**64 - 1)

_FLOAT32_MAX = float.fromhex("0x1.fffffep+127")
_FLOAT64_MAX = float.fromhex("0x1.fffffffffffffp+1023")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")  # 64 bits have at most 20 digits
_NON_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_BASE64_GROUP = 4


class Refused(Exception):  # noqa: N818 - it is an answer, not an error
    """The value cannot be read as the type of its field; the text says why."""


def string_check(rules: tuple[Rule, ...]) -> Check:
    """Check a text; apart from ``ruled`` because half of all fields are plain texts."""

    def check(value: Any, _depth: int) -> Faults:
        if not isinstance(value, str):
            return fault(f"must be a string, not {quoted(value)}")
        if not value.isascii() and not _is_unicode(value):
            return fault("must not contain half of a surrogate pair")
        for rule in rules:
            if not rule.accepts(value):
                return _broken(rules, value)
        return CLEAN

    return check


def ruled(read: Reader, rules: tuple[Rule, ...]) -> Check:
    """Check that a value can be read and that the result keeps all rules."""

    def check(value: Any, _depth: int) -> Faults:
        try:
            native = read(value)
        except Refused as refusal:
            return fault(str(refusal))
        for rule in rules:
            if not rule.accepts(native):
                return _broken(rules, native)
        return CLEAN

    return check


def _broken(rules: tuple[Rule, ...], value: Any) -> Faults:
    """Name every broken rule, not only the first."""
    return tuple(("", rule.message) for rule in rules if not rule.accepts(value))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_string(value: Any) -> str:
    """Read a text; a lone surrogate cannot be sent to Envoy."""
    if not isinstance(value, str) or not _is_unicode(value):
        raise Refused(f"must be a string, not {quoted(value)}")
    return value


def read_bool(value: Any) -> bool:
    """Read ``true`` or ``false``; never a number or a text."""
    if value is True or value is False:
        return bool(value)
    raise Refused(f"must be true or false, not {quoted(value)}")


def read_bool_key(value: Any) -> bool:
    """Read the key of a map from bool: JSON has only texts there."""
    if value in ("true", "false"):
        return bool(value == "true")
    raise Refused(f'must be "true" or "false", not {quoted(value)}')


def integer_reader(limits: tuple[int, int]) -> Reader:
    """Make a reader of integers: also whole floats, and texts, as 64-bit values need them."""
    lowest, highest = limits

    def read(value: Any) -> int:
        number = value if value.__class__ is int else _whole_number(value)
        if lowest <= number <= highest:
            return int(number)
        raise Refused(f"must be an integer from {lowest} to {highest}, not {quoted(value)}")

    return read


def _whole_number(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        if _INTEGER.fullmatch(value):
            return int(value)
        if _NUMBER.fullmatch(value) and float(value).is_integer():
            return int(float(value))
    raise Refused(f"must be an integer, not {quoted(value)}")


def read_double(value: Any) -> float:
    """Read a number of 64 bits."""
    return _read_float(value, _FLOAT64_MAX)


def read_float(value: Any) -> float:
    """Read a number of 32 bits; what does not fit is refused, not made infinite."""
    return _read_float(value, _FLOAT32_MAX)


def _read_float(value: Any, highest: float) -> float:
    number = value
    if isinstance(value, str):
        if value in _NON_FINITE:
            return _NON_FINITE[value]
        if not _NUMBER.fullmatch(value):
            raise Refused(f"must be a number, not {quoted(value)}")
        number = float(value)
    elif value.__class__ is not float and value.__class__ is not int:
        raise Refused(f"must be a number, not {quoted(value)}")
    # Infinity and NaN as numbers fail this comparison too: JSON has only their names.
    if -highest <= number <= highest:
        return float(number)
    raise Refused(f"must be a number that fits, not {quoted(value)}")


def read_bytes(value: Any) -> bytes:
    """Read base64, of either alphabet, padded or not."""
    if not isinstance(value, str):
        raise Refused(f"must be base64 in a string, not {quoted(value)}")
    text = value.rstrip("=")
    padded = text + "=" * (-len(text) % _BASE64_GROUP)
    # Padding may be left out, but where it is written it must be complete.
    if not _BASE64.fullmatch(value) or len(value) not in {len(text), len(padded)}:
        raise Refused(f"must be base64, not {quoted(value)}")
    try:
        return base64.urlsafe_b64decode(padded.translate({43: 45, 47: 95}))
    except binascii.Error as error:
        raise Refused(f"must be base64, not {quoted(value)}") from error


def enum_reader(numbers: Mapping[str, int]) -> Reader:
    """Make a reader of enum values: by name, or by any number, even one in a text."""
    lowest, highest = INT32

    def read(value: Any) -> int:
        if isinstance(value, str) and value in numbers:
            return numbers[value]
        if isinstance(value, str) and not _INTEGER.fullmatch(value):
            raise Refused(f"{quoted(value)} is not one of its values{_nearest(value, numbers)}")
        number = value if value.__class__ is int else _whole_number(value)
        if lowest <= number <= highest:
            return int(number)
        raise Refused(f"must be the name of an enum value, not {quoted(value)}")

    return read


def _nearest(value: str, names: Mapping[str, int]) -> str:
    return did_you_mean(value, names) or f": {', '.join(names)}"


def did_you_mean(name: str, known: Mapping[str, object]) -> str:
    """Name the known word that a wrong one most resembles, if there is one."""
    # Only mistakes pay for this import.
    from difflib import get_close_matches  # noqa: PLC0415

    longest = 100  # the comparison takes quadratic time, and no name of the API is longer
    upper = {word.upper(): word for word in known}
    nearest = get_close_matches(name[:longest].upper(), upper, n=1)
    return f', did you mean "{upper[nearest[0]]}"' if nearest else ""
