"""What `parse_yaml` reads, and every mistake it reports, with its exact place."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshc.diagnostics import Diagnostic, DiagnosticSink
from meshc.spec import composer
from meshc.spec.source import SourceFile
from meshc.spec.yaml import Budget, parse_yaml


def read(text: str, name: str = "app.yaml") -> Any:
    sink = DiagnosticSink()
    document = parse_yaml(SourceFile(name, text), sink)
    assert sink.sorted() == ()
    assert document is not None
    return document.data


def findings(
    text: str, name: str = "app.yaml", budget: Budget | None = None
) -> tuple[Diagnostic, ...]:
    sink = DiagnosticSink()
    document = parse_yaml(SourceFile(name, text), sink, budget or Budget())
    assert document is None
    return sink.sorted()


def placed(text: str, name: str = "app.yaml", budget: Budget | None = None) -> list[str]:
    """Return ``CODE line:column-line:column`` of every finding."""
    result = []
    for found in findings(text, name, budget):
        assert found.span is not None
        assert found.hint
        start = f"{found.span.line}:{found.span.column}"
        result.append(f"{found.code} {start}-{found.span.end_line}:{found.span.end_column}")
    return result


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("nUll", "nUll"),
        ("true", True),
        ("TRUE", True),
        ("False", False),
        ("tRue", "tRue"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0x1F", "-0x1F"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("10.0.0.1", "10.0.0.1"),
        ("5s", "5s"),
        ("--", "--"),
        (".", "."),
        ("+", "+"),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1.5E-2", 0.015),
        ("1e", "1e"),
        ("007.5", 7.5),
        ("18446744073709551615", 18446744073709551615),
        ("-9223372036854775808", -9223372036854775808),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!!str", ""),
        ('!!int "12"', 12),
        ("!!float 1", 1.0),
        ('!!bool "true"', True),
        ('!!null ""', None),
        ("!!seq [1]", [1]),
        ("!!map {b: 1}", {"b": 1}),
        ("٣", "٣"),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(written: str, meant: object) -> None:
    value = read(f"a: {written}")["a"]

    assert value == meant
    assert type(value) is type(meant)


def test_a_key_is_its_text() -> None:
    assert read("on: 1\n1: 2\nnull: 3\n~: 4\n0755: 5\n'<<': 6\n'': 7\n!!str k: 8\n") == {
        "on": 1,
        "1": 2,
        "null": 3,
        "~": 4,
        "0755": 5,
        "<<": 6,
        "": 7,
        "k": 8,
    }


def test_collections_nest_in_block_and_flow_style() -> None:
    text = "a:\n- b: [1, {c: 2}, []]\n  d: {}\n- - x\n  - y\ne: >-\n  one\n  two\n"

    assert read(text) == {
        "a": [{"b": [1, {"c": 2}, []], "d": {}}, ["x", "y"]],
        "e": "one two",
    }


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_line_end_counts_as_one(line_end: str) -> None:
    text = line_end.join(["a: 1", "b:", "  - x", "  - 0755"])

    assert placed(text) == ["MC108 4:5-4:9"]


def test_a_document_may_have_start_and_end_marks() -> None:
    assert read("---\na: 1\n...\n") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Syntax.
        ("a: 'x\n b", ["MC101 1:4-1:5"]),
        ("a: b: c", ["MC101 1:5-1:6"]),
        ("é: 'x': y", ["MC101 1:7-1:8"]),
        ("😀: 'x': y", ["MC101 1:7-1:8"]),
        ("\ta: b", ["MC101 1:1-1:2"]),
        ("a:\n\t- b", ["MC101 2:1-2:2"]),
        ("a: |\n\t x", ["MC101 2:1-2:2"]),
        ("- a\nb: c", ["MC101 2:1-2:2"]),
        ("a: [1, 2\nb: c", ["MC101 2:2-2:3"]),
        ("a: {b: 1", ["MC101 1:9-1:9"]),
        ("a: @x", ["MC101 1:4-1:5"]),
        ("a: %x", ["MC101 1:4-1:5"]),
        ('a: "\\q"', ["MC101 1:5-1:6"]),
        ('a: "\\ud83d\\ude00"', ["MC101 1:7-1:8"]),
        ("a:\n  b: 1\n c: 2", ["MC101 3:2-3:3"]),
        ("a: 1\r\n  b: 2", ["MC101 2:4-2:5"]),
        ("a: - b", ["MC101 1:4-1:5"]),
        ("a: [b,,c]", ["MC101 1:7-1:8"]),
        ("a: *", ["MC101 1:5-1:5"]),
        ("a: !x!y z", ["MC101 1:4-1:5"]),
        ("a: 1\nb", ["MC101 2:1-2:2"]),
        ("%YAML 1.1\n---\na: 1", ["MC101 1:1-1:10"]),
        ("a: 1\n...\n%TAG ! x\n---\nb: 1", ["MC101 3:1-3:9"]),
        ("%FOO\n---\na: 1", ["MC101 1:1-1:2"]),
        # Duplicate keys.
        ("a: 1\nb: 2\na: 3", ["MC102 3:1-3:2"]),
        ("1: x\n'1': y", ["MC102 2:1-2:4"]),
        ("{é: 1, é: 2}", ["MC102 1:8-1:9"]),
        # Anchors, aliases, merge keys.
        ("a: &x 1\nb: *x", ["MC104 1:4-1:6", "MC104 2:4-2:6"]),
        ("a: &x\n  - 1", ["MC104 1:4-1:6"]),
        ("&x a: 1", ["MC104 1:1-1:3"]),
        ("*x : 1", ["MC104 1:1-1:3"]),
        ("*x", ["MC104 1:1-1:3"]),
        ("[*x, 1]", ["MC104 1:2-1:4"]),
        ("<<: {a: 1}", ["MC104 1:1-1:3"]),
        # Tags.
        ("a: !!python/object:os.system ls", ["MC105 1:4-1:32"]),
        ("a: !x\n  b: 1", ["MC105 1:4-1:6"]),
        ("a: !!seq {}", ["MC105 1:4-1:9"]),
        ("a: ! 12", ["MC105 1:4-1:8"]),
        ("a: !!int x", ["MC105 1:4-1:11"]),
        ("a: !!bool 1", ["MC105 1:4-1:12"]),
        ("a: !!binary aGk=", ["MC105 1:4-1:17"]),
        ("a: !!timestamp 2024-01-01", ["MC105 1:4-1:26"]),
        ("!!int 1: x", ["MC105 1:1-1:8"]),
        # Characters.
        ("a: \x00", ["MC106 1:4-1:5"]),
        ("é: b\nc: \u202e", ["MC106 2:4-2:5"]),
        ("a: '\u2028'", ["MC106 1:5-1:6"]),
        ("a: b\ufeff", ["MC106 1:5-1:6"]),
        ("a: \ud800", ["MC106 1:4-1:5"]),
        # Number of documents.
        ("", ["MC107 1:1-1:1"]),
        ("# only words\n", ["MC107 1:1-1:1"]),
        ("---\n", ["MC107 1:1-1:1"]),
        ("null", ["MC107 1:1-1:1"]),
        ("a: 1\n---\nb: 2", ["MC107 2:1-2:4"]),
        # Numbers.
        ("a: 0755", ["MC108 1:4-1:8"]),
        ("a: -00", ["MC108 1:4-1:7"]),
        ("[08, 8]", ["MC108 1:2-1:4"]),
        ("a: .inf", ["MC108 1:4-1:8"]),
        ("a: -.Inf", ["MC108 1:4-1:9"]),
        ("a: .NaN", ["MC108 1:4-1:8"]),
        ("a: 1e999", ["MC108 1:4-1:9"]),
        ("a: 18446744073709551616", ["MC108 1:4-1:24"]),
        ("a: -9223372036854775809", ["MC108 1:4-1:24"]),
        ("a: 0xFFFFFFFFFFFFFFFFF", ["MC108 1:4-1:23"]),
        ("a: 1." + "0" * 60, ["MC108 1:4-1:66"]),
        ("a: !!int 0755", ["MC108 1:4-1:14"]),
        # Keys.
        ("? [a, b]\n: 1", ["MC109 1:3-1:4"]),
        ("{[a]: 1}", ["MC109 1:2-1:3"]),
        ("? b: 1\n: 1", ["MC109 1:3-1:4"]),
        ("x: {{ y }}", ["MC109 1:5-1:6"]),
        ("?\n: x", ["MC109 1:2-1:2"]),
    ],
)
def test_a_mistake_is_reported_at_its_place(text: str, expected: list[str]) -> None:
    assert placed(text) == expected


def test_all_mistakes_are_reported_that_do_not_hide_each_other() -> None:
    text = "a: 0755\nb: !x y\na: &q 1\n<<: *q\nc: .nan\n"

    assert placed(text) == [
        "MC108 1:4-1:8",
        "MC105 2:4-2:8",
        "MC102 3:1-3:2",
        "MC104 3:4-3:6",
        "MC104 4:1-4:3",
        "MC104 4:5-4:7",
        "MC108 5:4-5:8",
    ]


def test_a_report_about_something_else_altogether_stays_short() -> None:
    assert len(findings("[" + "01," * 1000 + "]")) == 50


def test_a_repeated_key_names_the_first_place_behind_nested_values() -> None:
    text = "x:\n  y: [1, {z: 2}]\n  w: 3\nk: 1\nm:\n  k: 1\nk: 2\n"

    (found,) = findings(text)

    assert found.message == 'key "k" is given twice'
    (first,) = found.related
    assert str(first.span) == "app.yaml:4:1"
    assert first.message == "first given here"


def test_a_third_declaration_points_at_the_first_too() -> None:
    found = findings("k: 1\nk: {a: b}\nk: 2\n")

    assert [str(related.span) for each in found for related in each.related] == [
        "app.yaml:1:1",
        "app.yaml:1:1",
    ]


def test_an_open_bracket_is_named_where_it_is_opened() -> None:
    (found,) = findings("a:\n  b: [1, 2\nc: 3\n")

    assert found.message == 'a "," or "]" is missing'
    assert str(found.span) == "app.yaml:3:2"
    assert [str(related.span) for related in found.related] == ["app.yaml:2:6"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "a: 0755",
            '"0755" is ambiguous: some readers of YAML take the zero for octal',
            "drop the leading zero, or put the text in quotes",
        ),
        ("\ta: 1", "this line is indented with a tab", "indent with spaces"),
        (
            "a: \u202e",
            (
                "character U+202E (right-to-left override) is not allowed: "
                "it makes a text look like another one"
            ),
            "remove it; editors often do not show it",
        ),
        (
            "a: !!python/object:os.system ls",
            'tag "!!python/object:os.system" is not allowed',
            "remove the tag; put the value in quotes if it is a text",
        ),
        (
            "x: {{ y }}",
            "a mapping cannot be a key",
            'put a text that starts with "{" or "[" in quotes; specs are not templates',
        ),
    ],
)
def test_a_message_is_in_the_users_terms(text: str, message: str, hint: str) -> None:
    (found,) = findings(text)

    assert found.message == message
    assert found.hint == hint


def test_a_long_value_is_cut_in_the_message() -> None:
    (found,) = findings("a: " + "9" * 5000)

    assert found.message == 'number "999999999999999999999999…" is too large'


@pytest.mark.parametrize(
    ("text", "budget", "expected"),
    [
        ("a: [[1]]", Budget(depth=2), ["MC103 1:5-1:6"]),
        ("- - - 1", Budget(depth=2), ["MC103 1:5-1:6"]),
        ("[a, b, c]", Budget(nodes=3), ["MC103 1:8-1:9"]),
        ("[a, [], []]", Budget(nodes=3), ["MC103 1:9-1:10"]),
        ("a: xxxx", Budget(scalar_length=3), ["MC103 1:4-1:5"]),
        ("a: b", Budget(file_bytes=3), ["MC103 1:1-1:1"]),
    ],
)
def test_a_text_above_its_budget_is_refused(text: str, budget: Budget, expected: list[str]) -> None:
    assert placed(text, budget=budget) == expected
    assert placed(text, "app.json", budget)[0][:5] in {"MC101", "MC103"}


def test_a_text_at_its_budget_is_read() -> None:
    sink = DiagnosticSink()
    text = "a: [b, c]"
    budget = Budget(file_bytes=9, depth=2, nodes=5, scalar_length=1)

    document = parse_yaml(SourceFile("app.yaml", text), sink, budget)

    assert document is not None
    assert document.data == {"a": ["b", "c"]}


def test_the_default_depth_is_64() -> None:
    assert read("[" * 64 + "]" * 64) is not None
    assert placed("[" * 65 + "]" * 65) == ["MC103 1:65-1:66"]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: [x, {y: 'z'}]\nc: |\n  t\n  u\n\nd:\n- e\n-\n- {}\n",
        "a: 0755\na: &x 2\nb: !y z\n",
        "a: 'x",
        "\ta",
        "",
        "a: 1\n---\nb",
        "[" * 100,
    ],
)
def test_the_pure_parser_gives_the_same_documents_and_codes(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcome() -> object:
        sink = DiagnosticSink()
        document = parse_yaml(SourceFile("app.yaml", text), sink)
        codes = [found.code for found in sink.sorted()]
        return codes or (document and (document.data, document.marks))

    with_extension = outcome()
    monkeypatch.setattr(composer, "_EventParser", yaml.SafeLoader)

    assert outcome() == with_extension
