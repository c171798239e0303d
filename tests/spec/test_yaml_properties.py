"""Whatever the text is, there is a document or a finding, never an exception."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.diagnostics import DiagnosticSink
from meshc.spec.source import SourceFile
from meshc.spec.yaml import parse_yaml

SPEC = """\
# Payments takes card payments.
name: payments-api
port: 8443
hosts:
  - node: pay-eu-1
    address: 10.0.1.11
  - {node: pay-eu-2, weight: 0.5}
upstreams:
  - service: ledger
    retry:
      on: [connect-failure, "5xx", 'it''s']
note: |
  one
  two
"""
JSON_SPEC = '{"name": "pay\\u00e9", "port": 8443, "hosts": [{"node": "a"}, null, true, -1.5e3]}'
PIECES = [
    *"[]{}:,-?&*!|>'\"%@`#~<.0\t \n\r\\=é😀\0\u2028\u202e\ufeff\ud800",
    "- ", ": ", "? ", "---\n", "...\n", "\r\n", "<<: ", "&a ", "*a", "!!str ", "!!int ", "!x ",
    "%TAG ! x\n", "%YAML 1.2\n", "0755", ".inf", "1e999", "null", "  ", "\n  ", "|+\n", ">2-\n",
    '"\\u', "\\ud83d\\ude00", "//", "NaN",
]  # fmt: skip


def check(text: str, name: str) -> Any:
    """Parse a text and check that everything said about it makes sense."""
    source = SourceFile(name, text)
    sink = DiagnosticSink()
    document = parse_yaml(source, sink)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert (document is None) == sink.has_errors
    spans = [found.span for found in sink.sorted()]
    spans += [related.span for found in sink.sorted() for related in found.related]
    if document is not None:
        paths = all_paths(document.data)
        spans += document.positions_of(paths)
        spans += document.positions_of(paths, key=True)
        assert spans == [document.span(path) for path in paths] + [
            document.span(path, key=True) for path in paths
        ]
    for span in spans:
        assert span is not None
        assert span.file == name
        assert (1, 1) <= (span.line, span.column) <= (span.end_line, span.end_column)
        assert span.end_line <= len(lines)
        assert span.column <= len(lines[span.line - 1]) + 1
        assert span.end_column <= len(lines[span.end_line - 1]) + 1
    return document and document.data


def all_paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    entries: Any = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    return [path] + [each for key, item in entries for each in all_paths(item, (*path, key))]


@st.composite
def mutations(draw: st.DrawFn, original: str) -> str:
    text = original
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 6)))
        text = text[:start] + draw(st.sampled_from(["", *PIECES])) + text[end:]
    return text


@pytest.mark.property
@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.text(st.characters(exclude_categories=())),
        st.lists(st.sampled_from([*PIECES, "a", "b: c\n"]), max_size=30).map("".join),
    ),
    st.sampled_from(["app.yaml", "app.json"]),
)
def test_any_text_gives_a_document_or_findings(text: str, name: str) -> None:
    check(text, name)


@pytest.mark.property
@settings(max_examples=500, deadline=None)
@given(mutations(SPEC))
def test_any_change_of_a_spec_gives_a_document_or_findings(text: str) -> None:
    check(text, "app.yaml")


@pytest.mark.property
@settings(max_examples=300, deadline=None)
@given(mutations(JSON_SPEC), st.sampled_from(["app.yaml", "app.json"]))
def test_any_change_of_a_json_spec_gives_a_document_or_findings(text: str, name: str) -> None:
    check(text, name)


# PyYAML writes YAML 1.1 and leaves some texts unquoted that are numbers in 1.2, such as 0o7 and
# 1e3: those start with a digit, a sign or a point.
TEXT = st.text(max_size=10).filter(lambda text: text[:1] not in set("+-.0123456789"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.property
@settings(deadline=None)
@given(
    data=st.dictionaries(TEXT, VALUES, max_size=4),
    flow=st.sampled_from([True, False, None]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_pyyaml_writes_is_read_back(
    *, data: dict[str, Any], flow: bool | None, line_end: str
) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, line_break=line_end)

    assert check(text, "app.yaml") == data


@pytest.mark.property
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1))
def test_numbers_are_read_as_python_writes_them(number: float, integer: int) -> None:
    assert check(f"[{number!r}, {integer}]", "app.yaml") == [number, integer]
