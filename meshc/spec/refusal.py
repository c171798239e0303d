"""What the schema refuses → findings in the words of whoever wrote the document."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from meshc.spec.fields import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from meshc.diagnostics import DiagnosticSink, Span
    from meshc.spec.document import Document

_Model = TypeVar("_Model", bound=BaseModel)

_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "dict_type": "a mapping of names to texts",
    "tuple_type": "a list",
    "list_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

_ENCRYPTED = (
    "meshc does not encrypt yet, and {plain} would send plain text; protocol: TCP passes encrypted "
    "bytes on as they are"
)
# Words that people know from elsewhere, where the nearest allowed one would mislead.
_OTHER_PROTOCOLS = {
    "HTTPS": _ENCRYPTED.format(plain="HTTP"),
    "WSS": _ENCRYPTED.format(plain="HTTP"),
    "H2": _ENCRYPTED.format(plain="HTTP2"),
    "GRPCS": _ENCRYPTED.format(plain="GRPC"),
    "TLS": 'did you mean "TCP"? It passes encrypted bytes on as they are',
    "SSL": 'did you mean "TCP"? It passes encrypted bytes on as they are',
    "WS": 'did you mean "HTTP"? WebSockets pass through it',
    "WEBSOCKET": 'did you mean "HTTP"? WebSockets pass through it',
    "HTTP/1.1": 'did you mean "HTTP"?',
    "HTTP/2": 'did you mean "HTTP2"?',
    "H2C": 'did you mean "HTTP2"?',
}


def validated(model: type[_Model], document: Document, sink: DiagnosticSink) -> _Model | None:
    """Return the typed form of a document, or None if what the schema refuses was reported."""
    if not isinstance(document.data, dict):
        sink.report(
            "MC203",
            f"a document must be a mapping, found {_kind(document.data)}",
            at=document.span(()),
            hint="start with keys, for example: protocol: HTTP",
        )
        return None
    try:
        # Fields go by the names of the documentation alone, so that each has one spelling.
        return model.model_validate(document.data, by_alias=True, by_name=False)
    except ValidationError as failure:
        for error in _worth_reporting(failure, document):
            _report(error, model, document, sink)
        return None


def _worth_reporting(failure: ValidationError, document: Document) -> Iterator[ErrorDetails]:
    """Leave out what only follows from another error or says the same once more."""
    values: set[tuple[str | int, ...]] = set()
    for error in failure.errors(include_url=False):
        if error["type"] == "too_short" and error["input"]:
            continue  # the list is empty without its wrong entries, each of which is reported
        if error["type"] not in ("missing", "extra_forbidden"):
            location = document.resolve(error["loc"])
            if location in values:
                continue  # each member of a union has its own complaint; the first says enough
            values.add(location)
        yield error


def _report(
    error: ErrorDetails, model: type[BaseModel], document: Document, sink: DiagnosticSink
) -> None:
    location = document.resolve(error["loc"])
    kind = error["type"]
    context = error.get("ctx", {})
    key = str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        names = _known_keys(model, location[:-1])
        sink.report(
            "MC201",
            f"unknown key {quoted(key)}",
            at=document.span(location, key=True),
            hint=_did_you_mean(key, names),
        )
    elif kind == "missing":
        missing = str(error["loc"][-1])
        sink.report(
            "MC202",
            f'"{missing}" is missing',
            at=_start(document, location),
            hint=_missing_hint(model, location, missing),
        )
    elif kind.startswith("MC"):
        hint = context.get("hint")
        if "key" in context:
            place = document.span((*location, context["key"]), key=True)
        else:
            place = document.span(location)
        sink.report(kind, error["msg"], at=place, hint=str(hint) if hint else None)
    elif kind in _TYPES:
        sink.report(
            "MC203",
            f"{_subject(location)} must be {_TYPES[kind]}, found {_kind(error['input'])}",
            at=document.span(location),
            hint=_type_hint(kind, error["input"]),
        )
    else:
        message, value_hint = _value_problem(error, key)
        sink.report(
            "MC204", f"{_subject(location)} {message}", at=document.span(location), hint=value_hint
        )


def _start(document: Document, location: tuple[str | int, ...]) -> Span:
    """Point at a mapping's key rather than at the whole of it, which may be pages long."""
    if location and isinstance(location[-1], str):
        return document.span(location, key=True)
    return document.span(location)


def _subject(location: tuple[str | int, ...]) -> str:
    names = [part for part in location if isinstance(part, str)]
    return f'"{names[-1]}"' if names else "the document"


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the truth value {str(value).lower()}"
        case int() | float():
            return f"the number {quoted(value)[1:-1]}"
        case str():
            return f"the text {quoted(value)}"
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"


def _type_hint(kind: str, value: object) -> str | None:
    if kind == "int_type" and isinstance(value, str) and value.strip().isdigit():
        return f"remove the quotes: {value.strip()}"
    if kind == "string_type" and isinstance(value, bool | int | float):
        shown = str(value).lower() if isinstance(value, bool) else value
        return f'put it in quotes: "{shown}"'
    if kind == "tuple_type" and value is not None:
        return 'start each entry with "- "'
    return None


def _value_problem(  # noqa: PLR0911, a table of cases
    error: ErrorDetails, name: str
) -> tuple[str, str | None]:
    """Word the refused value of a key for its author: what is wrong, and what would be right."""
    context = error.get("ctx", {})
    value = error["input"]
    shown = quoted(value) if not isinstance(value, list | dict | tuple) else "what is there"
    match error["type"]:
        case "literal_error":
            expected = str(context["expected"]).replace("True", "true")
            allowed = [part.strip("'") for part in _split_expected(expected)]
            hint = _OTHER_PROTOCOLS.get(str(value).upper()) if name == "protocol" else None
            return f"cannot be {shown}", hint or _did_you_mean(str(value), allowed)
        case "greater_than_equal":
            return f"is {shown}, below the smallest allowed value {context['ge']:.10g}", None
        case "less_than_equal":
            return f"is {shown}, above the largest allowed value {context['le']:.10g}", None
        case "too_short":
            return "is empty", "give at least one entry, or leave the key out"
        case "string_too_short":
            return "is empty", "give a value, or leave the key out"
        case "string_too_long" | "too_long":
            return f"is longer than {context.get('max_length', 'allowed')}", None
        case "string_pattern_mismatch":
            return f"cannot be {shown}", f"it must match {context['pattern']}"
        case _:
            return f"cannot be {shown}", str(error["msg"])


def _split_expected(expected: str) -> list[str]:
    return [part.strip() for part in expected.replace(" or ", ", ").split(",")]


def _did_you_mean(word: str, known: list[str]) -> str:
    folded = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    if close:
        return f'did you mean "{folded[close[0]]}"?'
    return "allowed here: " + ", ".join(known)


def _known_keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    found = _model_at(model, location)
    if found is None:
        return []
    return [info.alias or name for name, info in found.model_fields.items()]


def _missing_hint(
    model: type[BaseModel], location: tuple[str | int, ...], missing: str
) -> str | None:
    found = _model_at(model, location)
    for name, info in found.model_fields.items() if found is not None else ():
        if missing in (name, info.alias):
            return info.description
    return None


def _model_at(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Follow a document path through the schema to the model that stands there."""
    current: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) or current is None:
            continue
        for name, info in current.model_fields.items():
            if part in (name, info.alias):
                current = _model_in(info.annotation)
                break
        else:
            return None
    return current


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Find the one model inside an annotation such as ``tuple[HostSpec, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _model_in(argument)) is not None:
            return found
    return None
