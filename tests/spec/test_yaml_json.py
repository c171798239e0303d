"""Files named .json are JSON, with the same strictness and positions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshc.diagnostics import DiagnosticSink
from meshc.spec.source import SourceFile
from meshc.spec.yaml import parse_yaml

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)
TEXT = st.text(max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
).filter(lambda value: value is not None)


def parse(text: str) -> tuple[Any, list[str]]:
    sink = DiagnosticSink()
    document = parse_yaml(SourceFile("app.json", text), sink)
    found = [
        f"{each.code} {each.span.line}:{each.span.column}" for each in sink.sorted() if each.span
    ]
    return (document.data if document else None), found


@pytest.mark.property
@given(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]))
@example({"😀/": "\u2028\x7f\\u0041 \ud7ff"}, True, None)  # noqa: FBT003
def test_what_json_writes_is_read_back(value: Any, ascii_only: bool, indent: Any) -> None:  # noqa: FBT001
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)

    data, found = parse(text)

    if FORBIDDEN.search(text):
        assert {each[:5] for each in found} == {"MC106"}
    else:
        assert found == []
        assert data == json.loads(text)
        assert json.dumps(data) == json.dumps(value)


def test_escapes_of_json_are_read() -> None:
    assert parse(r'{"a\/b": "\ud83d\ude00\u00e9\n\"\\"}') == ({"a/b": '😀é\n"\\'}, [])


def test_json_may_be_written_as_no_yaml_can() -> None:
    text = '{\t"a"\n:1,"' + "k" * 2000 + '"\r\n: [\n\t]}'

    assert parse(text) == ({"a": 1, "k" * 2000: []}, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["MC107 1:1"]),
        (" \n", ["MC107 1:1"]),
        ("null", ["MC107 1:1"]),
        ("{} {}", ["MC107 1:4"]),
        ('{"a": 1, "a": 2}', ["MC102 1:10"]),
        ('{"a": 1,\n "\\u0061": 2}', ["MC102 2:2"]),
        ('{"a": 1,}', ["MC101 1:9"]),
        ("[1 2]", ["MC101 1:4"]),
        ("[1", ["MC101 1:3"]),
        ("[", ["MC101 1:2"]),
        ("{", ["MC101 1:2"]),
        ('{"a" 1}', ["MC101 1:6"]),
        ("{'a': 1}", ["MC101 1:2"]),
        ('{"a": tru}', ["MC101 1:7"]),
        ('{"é": "x\n"}', ["MC101 1:9"]),
        ('{"a": "x', ["MC101 1:7"]),
        ('{"a": "\\q"}', ["MC101 1:8"]),
        ('["\\u12"]', ["MC101 1:4"]),
        ("# x\n{}", ["MC101 1:1"]),
        ("[1, // x\n2]", ["MC101 1:5"]),
        ('{"a": 01}', ["MC108 1:7"]),
        ('{"a": NaN, "b": -Infinity}', ["MC108 1:7", "MC108 1:17"]),
        ('{"a": 1e999}', ["MC108 1:7"]),
        ("NaN", ["MC108 1:1"]),
        ("[" + "1" * 5000 + "]", ["MC108 1:2"]),
        ('{"a": "\\ud800"}', ["MC106 1:7"]),
        ('{"a": "\u2028"}', ["MC106 1:8"]),
        ("[" * 65 + "]" * 65, ["MC103 1:65"]),
        ("[" * 100_000, ["MC103 1:65"]),
        ('["' + "x" * 65537 + '"]', ["MC103 1:2"]),
        ("[" + "x" * 65537 + "]", ["MC103 1:2"]),
        ("[" + "1," * 100_000 + "1]", ["MC103 1:200000"]),
    ],
)
def test_a_mistake_in_json_is_reported_at_its_place(text: str, expected: list[str]) -> None:
    assert parse(text) == (None, expected)


def test_a_repeated_key_names_the_first_place() -> None:
    sink = DiagnosticSink()

    parse_yaml(SourceFile("app.json", '{"x": [1, {"k": 2}],\n "k": 1,\n "k": 2}'), sink)

    (found,) = sink.sorted()
    assert [str(related.span) for related in found.related] == ["app.json:2:2"]
