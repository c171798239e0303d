"""What an unquoted scalar means: the core schema of YAML 1.2, minus numbers no setting can use."""

from __future__ import annotations

import re

from meshc.spec.composition import shorten

Scalar = str | int | float | bool | None

# Everything else that is not a number is a string, in particular YAML 1.1's yes, no, on, off.
NAMED: dict[str, bool | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}

NUMBER_START = frozenset("+-.0123456789")

# What 64 bits hold; JSON encoders and Envoy's fields end there.
_INT_MIN = -(2**63)
_INT_MAX = 2**64 - 1
_INT_DIGITS = 20
# The longest text that Python writes for a float is 24 characters.
_FLOAT_LENGTH = 40

_NUMBER = re.compile(
    r"""
      (?P<int>     [-+]?[0-9]+ )
    | (?P<float>   [-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)? )
    | (?P<based>   0o[0-7]+|0x[0-9a-fA-F]+ )
    | (?P<special> [-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN) )
    """,
    re.VERBOSE,
)
_CORE = "tag:yaml.org,2002:"
_TYPES: dict[str, type] = {
    _CORE + "int": int,
    _CORE + "float": float,
    _CORE + "bool": bool,
    _CORE + "null": type(None),
}
STRING_TAG = _CORE + "str"
MAPPING_TAG = _CORE + "map"
SEQUENCE_TAG = _CORE + "seq"


class UnusableNumberError(ValueError):
    """A number that the core schema allows and no setting can mean."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TagError(ValueError):
    """A tag that is not one of the core schema, or does not fit its value."""


def plain_value(text: str) -> Scalar:
    """Return what an unquoted scalar means.

    Raises:
        UnusableNumberError: it is a number that readers of YAML disagree about, or that does
            not fit.
    """
    if text in NAMED:
        return NAMED[text]
    return number_or_text(text) if text[0] in NUMBER_START else text


def number_or_text(text: str) -> str | int | float:
    """Return the number that a text is, or the text itself; raises as `plain_value`."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    kind = match.lastgroup
    if kind == "int":
        return _integer(text, text.lstrip("+-"), base=10)
    if kind == "based":
        return _integer(text, text[2:], base=8 if text[1] == "o" else 16)
    if kind == "float":
        return _float(text)
    raise UnusableNumberError(
        f"{shorten(text)} is not a number that a setting can have",
        "write a finite number, or put the text in quotes",
    )


def tagged_value(tag: str, text: str) -> Scalar:
    """Return what a scalar with an explicit tag means.

    Raises:
        TagError: the tag is not of the core schema or the text is not of its type.
        UnusableNumberError: as `plain_value`.
    """
    if tag == STRING_TAG:
        return text
    wanted = _TYPES.get(tag)
    if wanted is None:
        raise TagError(f"tag {tag_name(tag)} is not allowed")
    value = plain_value(text)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise TagError(f"tag {tag_name(tag)} does not fit the value {shorten(text)}")
    return value


def tag_name(tag: str) -> str:
    """Return a tag as people write it, quoted."""
    return shorten("!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag)


def _integer(text: str, digits: str, *, base: int) -> int:
    if base == 10 and len(digits) > 1 and digits[0] == "0":  # noqa: PLR2004 - the base
        raise UnusableNumberError(
            f"{shorten(text)} is ambiguous: some readers of YAML take the zero for octal",
            "drop the leading zero, or put the text in quotes",
        )
    value = int(text, base if base == 10 else 0) if len(digits) <= _INT_DIGITS else None  # noqa: PLR2004
    if value is None or not _INT_MIN <= value <= _INT_MAX:
        raise UnusableNumberError(
            f"number {shorten(text, 24)} is too large",
            "numbers have at most 64 bits; put it in quotes if it is a name",
        )
    return value


def _float(text: str) -> float:
    value = float(text) if len(text) <= _FLOAT_LENGTH else None
    if value is None:
        raise UnusableNumberError(
            f"number {shorten(text, 24)} has too many digits",
            f"write it with at most {_FLOAT_LENGTH} characters, or in quotes if it is a name",
        )
    if value in (float("inf"), float("-inf")):
        raise UnusableNumberError(
            f"number {shorten(text)} is too large", "write a finite number, or put it in quotes"
        )
    return value
