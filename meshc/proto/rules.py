"""The ``validate.rules`` of Envoy's descriptors (protoc-gen-validate) as plain predicates.

The meaning of each rule is that of the C++ code Envoy is built with.  A rule this module does
not know is an ``InternalError``: a new Envoy must not be checked by half of its rules.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from meshc.diagnostics import InternalError
from meshc.proto.faults import quoted
from meshc.proto.wellknown import NANOSECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.message import Message


class Rule(NamedTuple):
    """A predicate over the Python value of a field, and what to say when it fails."""

    accepts: Callable[[Any], bool]
    message: str


RuleMaker: TypeAlias = Callable[[Any], Rule]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRules:
    """All rules of one field.

    ``value`` is about a scalar, or about a list or map as a whole; ``is_skipped`` turns off
    the rules inside a message.
    """

    value: tuple[Rule, ...] = ()
    is_required: bool = False
    is_skipped: bool = False
    items: FieldRules | None = None
    keys: FieldRules | None = None
    values: FieldRules | None = None


NO_RULES = FieldRules()

_NUMBERS = (
    *("float", "double", "int32", "int64", "uint32", "uint64", "sint32", "sint64"),
    *("fixed32", "fixed64", "sfixed32", "sfixed64"),
)


def field_rules(options: Message, enum_names: Mapping[int, str]) -> FieldRules:
    """Translate one ``validate.FieldRules``; ``enum_names`` belong to the enum of the field."""
    value: tuple[Rule, ...] = ()
    is_required = is_skipped = False
    parts: dict[str, FieldRules | None] = {}
    for descriptor, given in options.ListFields():
        kind = descriptor.name
        settings = {part.name: setting for part, setting in given.ListFields()}
        is_required |= bool(settings.pop("required", False))
        is_skipped |= bool(settings.pop("skip", False))
        for part in {"items", "keys", "values"} & settings.keys():
            parts[part] = field_rules(settings.pop(part), enum_names)
        value += tuple(_value_rules(kind, settings, enum_names))
    return FieldRules(
        value=value,
        is_required=is_required,
        is_skipped=is_skipped,
        items=parts.get("items"),
        keys=parts.get("keys"),
        values=parts.get("values"),
    )


def _value_rules(
    kind: str, settings: dict[str, Any], enum_names: Mapping[int, str]
) -> Iterator[Rule]:
    is_empty_fine = settings.pop("ignore_empty", False)
    is_strict = settings.pop("strict", True)
    for name, setting in settings.items():
        if name == "defined_only":
            listed = ", ".join(enum_names.values())
            rule = Rule(enum_names.__contains__, f"must be one of {listed}")
        elif kind == "enum":
            rule = _enum_rule(name, setting, enum_names)
        elif name == "well_known_regex":
            rule = _header_rule(setting, is_strict=is_strict)
        else:
            rule = _maker(kind, name)(setting)
        yield _unless_empty(rule) if is_empty_fine else rule


def _enum_rule(name: str, setting: Any, names: Mapping[int, str]) -> Rule:
    """Make a rule about enum values; they are compared as numbers and shown by name."""
    rule = _maker("enum", name)(setting)
    limits = [setting] if name == "const" else setting
    listed = ", ".join(names.get(number, str(number)) for number in limits)
    return Rule(rule.accepts, f"{'must not be' if name == 'not_in' else 'must be'} {listed}")


def _maker(kind: str, name: str) -> RuleMaker:
    makers = _COMPARISONS if kind in _NUMBERS else _MAKERS.get(kind, {})
    if name not in makers:
        raise InternalError(f'the rule "{kind}.{name}" of this Envoy version is not implemented')
    return makers[name]


def _unless_empty(rule: Rule) -> Rule:
    return Rule(lambda value: not value or rule.accepts(value), rule.message)


def _one_of(limits: Any) -> Rule:
    allowed = tuple(limits)
    listed = ", ".join(quoted(value) for value in allowed)
    return Rule(frozenset(allowed).__contains__, f"must be one of {listed}")


def _none_of(limits: Any) -> Rule:
    refused = frozenset(limits)
    listed = ", ".join(quoted(value) for value in limits)
    return Rule(lambda value: value not in refused, f"must not be {listed}")


def _equal(limit: Any) -> Rule:
    return Rule(partial(operator.eq, limit), f"must be {quoted(limit)}")


def _comparison(holds: Callable[[Any, Any], bool], words: str) -> RuleMaker:
    def make(limit: Any) -> Rule:
        # The C++ code refuses what is outside, so that NaN, neither inside nor outside, passes.
        return Rule(lambda value: not holds(value, limit), f"{words} {limit:.15g}")

    return make


_COMPARISONS: Mapping[str, RuleMaker] = {
    "const": _equal,
    "gt": _comparison(operator.le, "must be greater than"),
    "gte": _comparison(operator.lt, "must be at least"),
    "lt": _comparison(operator.ge, "must be less than"),
    "lte": _comparison(operator.gt, "must be at most"),
    "in": _one_of,
    "not_in": _none_of,
}


def _duration(make: RuleMaker) -> RuleMaker:
    """Compare durations in nanoseconds, and name them in seconds."""

    def make_duration(limit: Any) -> Rule:
        nanoseconds = limit.seconds * NANOSECONDS + limit.nanos
        words = make(nanoseconds / NANOSECONDS).message
        return Rule(make(nanoseconds).accepts, f"{words}s")

    return make_duration


def _size(
    holds: Callable[[int, int], bool], words: str, unit: str, size: Callable[[Any], int] = len
) -> RuleMaker:
    def make(limit: int) -> Rule:
        one, many = (unit, unit + "s") if unit != "entry" else ("entry", "entries")
        message = f"must have {words}{limit} {one if limit == 1 else many}"
        if holds is operator.ge and limit == 1 and size is len:
            return Rule(bool, message)  # by far the most frequent rule
        return Rule(lambda value: holds(size(value), limit), message)

    return make


def _byte_length(text: str) -> int:
    return len(text.encode())


def _unique(_is_on: bool) -> Rule:  # noqa: FBT001 - the shape of every maker
    return Rule(lambda values: len(set(values)) == len(values), "must not contain equal elements")


_PATTERN_ESCAPES = frozenset("dwxntrf")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def _python_pattern(pattern: str) -> re.Pattern[str]:
    """Translate the part of RE2's syntax that the API uses; refuse to guess about the rest."""

    def translate(escape: re.Match[str]) -> str:
        letter = escape[1]
        if letter == "s":
            return r"\t\n\f\r "  # without the vertical tab; every use is in a character class
        if letter.isalnum() and letter not in _PATTERN_ESCAPES:
            raise InternalError(f'the escape "\\{letter}" in "{pattern}" is not implemented')
        return escape[0]

    if "(?" in pattern or "[[:" in pattern or re.search(r"(?<!\[\^)(?<!\[)\\s", pattern):
        raise InternalError(f'the pattern "{pattern}" is not implemented')
    return re.compile(_ESCAPE.sub(translate, pattern), re.ASCII)


def _pattern(pattern: str) -> Rule:
    # "fullmatch", because "$" means the very end in RE2 but also before a last newline here.
    matches = _python_pattern(pattern).fullmatch
    return Rule(lambda text: matches(text) is not None, f"must match the pattern {pattern}")


_HEADER_NAME = 1
_STRICT_NAME = re.compile(r":?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+")
_STRICT_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_LOOSE = re.compile(r"[^\x00\x0a\x0d]*")  # for names and values, and it takes an empty name


def _header_rule(well_known: int, *, is_strict: bool) -> Rule:
    if not is_strict:
        matches, words = _LOOSE.fullmatch, "must not contain zero bytes or line ends"
    elif well_known == _HEADER_NAME:
        matches, words = _STRICT_NAME.fullmatch, "must be a header name"
    else:
        matches, words = _STRICT_VALUE.fullmatch, "must not contain control characters"
    return Rule(lambda text: matches(text) is not None, words)


def _prefix(text: Any) -> Rule:
    return Rule(lambda value: value.startswith(text), f"must start with {quoted(text)}")


def _suffix(text: Any) -> Rule:
    return Rule(lambda value: value.endswith(text), f"must end with {quoted(text)}")


_BYTES: Mapping[str, RuleMaker] = {
    "len": _size(operator.eq, "", "byte"),
    "min_len": _size(operator.ge, "at least ", "byte"),
    "max_len": _size(operator.le, "at most ", "byte"),
}
_STRING: Mapping[str, RuleMaker] = {
    "const": _equal,
    "in": _one_of,
    "not_in": _none_of,
    "len": _size(operator.eq, "", "character"),
    "min_len": _size(operator.ge, "at least ", "character"),
    "max_len": _size(operator.le, "at most ", "character"),
    "len_bytes": _size(operator.eq, "", "byte", _byte_length),
    "min_bytes": _size(operator.ge, "at least ", "byte", _byte_length),
    "max_bytes": _size(operator.le, "at most ", "byte", _byte_length),
    "pattern": _pattern,
    "prefix": _prefix,
    "suffix": _suffix,
}
_MAKERS: Mapping[str, Mapping[str, RuleMaker]] = {
    "bool": {"const": _equal},
    "bytes": _BYTES,
    "duration": {name: _duration(_COMPARISONS[name]) for name in ("gt", "gte", "lt", "lte")},
    "enum": {"const": _equal, "in": _one_of, "not_in": _none_of},
    "map": {
        "min_pairs": _size(operator.ge, "at least ", "entry"),
        "max_pairs": _size(operator.le, "at most ", "entry"),
    },
    "repeated": {
        "min_items": _size(operator.ge, "at least ", "element"),
        "max_items": _size(operator.le, "at most ", "element"),
        "unique": _unique,
    },
    "string": _STRING,
}
