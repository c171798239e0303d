"""Where `Document` says that keys and values are."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.diagnostics import DiagnosticSink, InternalError, Span
from meshc.spec.source import Document, SourceFile
from meshc.spec.yaml import parse_yaml

TEXT = """\
# A comment.
name: é😀 pay  # another
listeners:
  - {port: 80, tags: ["a b", c]}
  -
    port: 0x1F
    empty:
    note: |
      one
      two

routes:
- "x": [
    1
  ]


"""


def parse(text: str, name: str = "app.yaml") -> Document:
    sink = DiagnosticSink()
    document = parse_yaml(SourceFile(name, text), sink)
    assert sink.sorted() == ()
    assert document is not None
    return document


def place(span: Span) -> str:
    assert span.file in {"app.yaml", "app.json"}
    return f"{span.line}:{span.column}-{span.end_line}:{span.end_column}"


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ((), "2:1-15:4", "2:1-15:4"),
        (("name",), "2:7-2:13", "2:1-2:5"),
        (("listeners",), "4:3-10:10", "3:1-3:10"),
        (("listeners", 0), "4:5-4:33", "4:5-4:33"),
        (("listeners", 0, "port"), "4:12-4:14", "4:6-4:10"),
        (("listeners", 0, "tags"), "4:22-4:32", "4:16-4:20"),
        (("listeners", 0, "tags", 0), "4:23-4:28", "4:23-4:28"),
        (("listeners", 0, "tags", 1), "4:30-4:31", "4:30-4:31"),
        (("listeners", 1), "6:5-10:10", "6:5-10:10"),
        (("listeners", 1, "port"), "6:11-6:15", "6:5-6:9"),
        (("listeners", 1, "empty"), "7:11-7:11", "7:5-7:10"),
        (("listeners", 1, "note"), "8:11-10:10", "8:5-8:9"),
        (("routes",), "13:1-15:4", "12:1-12:7"),
        (("routes", 0, "x"), "13:8-15:4", "13:3-13:6"),
        (("routes", 0, "x", 0), "14:5-14:6", "14:5-14:6"),
        # What is not there is shown where it should be.
        (("owner",), "2:1-15:4", "2:1-15:4"),
        (("listeners", 1, "tls", "mode"), "6:5-10:10", "6:5-10:10"),
        (("listeners", 2, "port"), "4:3-10:10", "4:3-10:10"),
        (("listeners", -1), "4:3-10:10", "4:3-10:10"),
        (("name", 0), "2:7-2:13", "2:7-2:13"),
        (("listeners", "port"), "4:3-10:10", "4:3-10:10"),
    ],
)
def test_a_path_has_a_place(path: tuple[str | int, ...], value: str, key: str) -> None:
    document = parse(TEXT)

    assert place(document.span(path)) == value
    assert place(document.span(path, key=True)) == key
    assert [place(span) for span in document.positions_of([path])] == [value]
    assert [place(span) for span in document.positions_of([path], key=True)] == [key]


def test_crlf_does_not_move_anything() -> None:
    document = parse(TEXT.replace("\n", "\r\n"))

    assert place(document.span(("listeners", 1, "note"))) == "8:11-10:10"
    assert place(document.span(("routes", 0, "x"))) == "13:8-15:4"


def test_json_has_the_same_kind_of_places() -> None:
    document = parse('{"é": [1, {"b" : "😀"}],\n "c": {}\n}', "app.json")

    assert place(document.span(())) == "1:1-3:2"
    assert place(document.span(("é",))) == "1:7-1:23"
    assert place(document.span(("é", 1, "b"))) == "1:18-1:21"
    assert place(document.span(("é", 1, "b"), key=True)) == "1:12-1:15"
    assert place(document.span(("c",))) == "2:7-2:9"


def test_many_paths_are_answered_in_their_order() -> None:
    document = parse(TEXT)

    found = document.positions_of([("routes",), ("name",), ("nope", "x"), (), ("name",)])

    assert [place(span) for span in found] == [
        "13:1-15:4",
        "2:7-2:13",
        "2:1-15:4",
        "2:1-15:4",
        "2:7-2:13",
    ]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (("listeners", 0, "http", "port"), ("listeners", 0, "port")),
        (("listeners", 1, "tcp", "missing"), ("listeners", 1)),
        (("routes", 0, "x", "[key]"), ("routes", 0, "x")),
        (("listeners", 7, "port"), ("listeners",)),
        ((), ()),
        (("function-after[check(), X]",), ()),
    ],
)
def test_a_validators_location_resolves_to_a_path(
    location: tuple[str | int, ...], path: tuple[str | int, ...]
) -> None:
    assert parse(TEXT).resolve(location) == path


@pytest.mark.parametrize("name", ["app.yaml", "app.json"])
def test_a_document_from_a_cache_has_the_same_places(name: str) -> None:
    text = '{"a": [1, {"b": 2.5}]}'
    parsed = parse(text, name)
    data = json.loads(json.dumps(parsed.data))

    with_marks = Document(parsed.source, data, parsed.marks)
    without_marks = Document(parsed.source, data)

    path = ("a", 1, "b")
    assert with_marks.span(path) == without_marks.span(path) == parsed.span(path)
    assert without_marks.marks == parsed.marks


def test_eight_bytes_are_kept_for_each_key_and_value() -> None:
    assert len(parse("a: [1, {b: c}]").marks) == 8 * 7


@pytest.mark.parametrize("text", ["a: 2", "a: 'x", ""])
def test_data_of_another_text_are_an_internal_error(text: str) -> None:
    document = Document(SourceFile("app.yaml", text), {"a": 1})

    with pytest.raises(InternalError, match=r"app\.yaml: stored data do not fit the text"):
        document.span(("a",))


WORDS = st.text("ab 1:#-'\"é😀\n,[]{}&*!|>%@`?0.~\t\\", max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | WORDS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(WORDS, inner, min_size=1, max_size=3)
    ),
    max_leaves=10,
)


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path]
    if isinstance(value, dict):
        for name, item in value.items():
            found += paths_of(item, (*path, name))
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += paths_of(item, (*path, index))
    return found


def cut(text: str, span: Span) -> str:
    lines = text.split("\n")
    if span.line == span.end_line:
        return lines[span.line - 1][span.column - 1 : span.end_column - 1]
    first = lines[span.line - 1][span.column - 1 :]
    last = lines[span.end_line - 1][: span.end_column - 1]
    return "\n".join([first, *lines[span.line : span.end_line - 1], last])


@pytest.mark.property
@settings(deadline=None)
@given(
    st.dictionaries(WORDS, VALUES, min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from(["app.yaml", "app.json"]),
)
def test_the_text_at_a_scalars_place_is_the_scalar(value: Any, flow: bool, name: str) -> None:  # noqa: FBT001
    if name == "app.json":
        text = json.dumps(value, indent=None if flow else 2)
    else:
        text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    document = parse(text, name)
    assert document.data == value
    paths = paths_of(value)
    in_bulk = document.positions_of(paths)
    keys_in_bulk = document.positions_of(paths, key=True)

    for path, bulk, key_bulk in zip(paths, in_bulk, keys_in_bulk, strict=True):
        assert document.span(path) == bulk
        assert document.span(path, key=True) == key_bulk
        target: Any = value
        for segment in path:
            target = target[segment]
        # Wrapped, because an empty text and null are documents of nothing on their own.
        piece = cut(text, bulk)
        alone = f'{{"k": {piece}}}' if name == "app.json" else f"- {piece}"
        if name == "app.json" or not isinstance(target, (dict, list)):
            data = parse(alone, name).data
            assert (data["k"] if name == "app.json" else data[0]) == target
        if path and isinstance(path[-1], str):
            piece = cut(text, key_bulk)
            alone = f"{{{piece}: 1}}" if name == "app.json" else f"? {piece}\n: 1"
            assert parse(alone, name).data == {path[-1]: 1}
