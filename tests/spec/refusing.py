"""What a value, or a document, is refused for, in a form that tests can spell out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from meshc.diagnostics import DiagnosticSink
from meshc.spec.load import load_specs
from tests.model.reading import write

if TYPE_CHECKING:
    from pathlib import Path


def refusal(adapter: TypeAdapter[Any], value: object) -> tuple[str, str, object]:
    """Kind, message and hint of the one error that a value gives."""
    with pytest.raises(ValidationError) as raised:
        adapter.validate_python(value)
    (error,) = raised.value.errors()
    return error["type"], error["msg"], error.get("ctx", {}).get("hint")


def findings(folder: Path, name: str, text: str) -> list[tuple[str, str, str, str | None]]:
    """Code, place, message and hint of all that is wrong with one document."""
    sink = DiagnosticSink()
    load_specs(write(folder, {name: text}), sink)
    found = []
    for finding in sink.sorted():
        span = finding.span
        assert span is not None
        place = f"{span.line}:{span.column}-{span.end_line}:{span.end_column}"
        found.append((finding.code, place, finding.message, finding.hint))
    return found
