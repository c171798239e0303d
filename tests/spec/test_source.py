"""Reading files: encodings, sizes, and the world's failures."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from meshc.diagnostics import DiagnosticSink, Span
from meshc.diagnostics.errors import SourceError
from meshc.spec.budget import Budget
from meshc.spec.source import SourceFile, read_source

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, content: bytes) -> tuple[SourceFile | None, list[str]]:
    path.write_bytes(content)
    sink = DiagnosticSink()
    source = read_source(path, "team/app.yaml", sink, Budget(file_bytes=64))
    return source, [f"{found.code} {found.span} {found.message}" for found in sink.sorted()]


def test_a_file_is_read_as_utf_8(tmp_path: Path) -> None:
    source, found = read(tmp_path / "app.yaml", "a: é😀\r\n".encode())

    assert found == []
    assert source == SourceFile("team/app.yaml", "a: é😀\r\n")


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    source, found = read(tmp_path / "app.yaml", b"\xef\xbb\xbfa: 1\n")

    assert found == []
    assert source == SourceFile("team/app.yaml", "a: 1\n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "a: 1".encode("utf-16"),
            "MC106 team/app.yaml:1:1 the file is not UTF-8 but UTF-16",
        ),
        (
            b"\xfe\xff\x00a",
            "MC106 team/app.yaml:1:1 the file is not UTF-8 but UTF-16",
        ),
        (
            b"a: \x00",
            "MC106 team/app.yaml:1:4 character U+0000 (null) is not allowed",
        ),
        (
            "é: 1\n\u00e9: ".encode() + b"\xe9\n",
            'MC106 team/app.yaml:2:4 byte "0xe9" is not valid UTF-8',
        ),
        (
            b"a: \xed\xa0\x80",
            'MC106 team/app.yaml:1:4 byte "0xed" is not valid UTF-8',
        ),
        (
            b"a: \x1b[31m",
            "MC106 team/app.yaml:1:4 character U+001B (control character) is not allowed",
        ),
        (
            "a: \x85".encode(),
            (
                "MC106 team/app.yaml:1:4 character U+0085 is not allowed: "
                "programs disagree whether it ends a line"
            ),
        ),
        (
            "a: \u2066".encode(),
            (
                "MC106 team/app.yaml:1:4 character U+2066 (left-to-right isolate) is not allowed: "
                "it makes a text look like another one"
            ),
        ),
        (
            b"\xef\xbb\xbf\xef\xbb\xbfa: 1",
            "MC106 team/app.yaml:1:1 character U+FEFF (zero width no-break space) is not allowed",
        ),
        (b"a" * 65, "MC103 team/app.yaml:1:1 the file is larger than 0 KiB"),
    ],
)
def test_a_file_that_is_not_clean_text_is_reported(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    assert read(tmp_path / "app.yaml", content) == (None, [expected])


def test_only_the_first_ten_bad_characters_are_reported(tmp_path: Path) -> None:
    _, found = read(tmp_path / "app.yaml", b"\x00" * 60)

    assert len(found) == 10


def test_a_file_of_the_allowed_size_is_read(tmp_path: Path) -> None:
    source, found = read(tmp_path / "app.yaml", b"a" * 64)

    assert source is not None
    assert found == []


def test_a_huge_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    sink = DiagnosticSink()

    assert read_source(path, "app.yaml", sink) is None

    assert [found.message for found in sink.sorted()] == ["the file is larger than 1024 KiB"]


def test_a_missing_file_is_an_error_of_the_world(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as raised:
        read_source(tmp_path / "none.yaml", "none.yaml", DiagnosticSink())

    assert raised.value.message == 'cannot read spec "none.yaml": no such file or directory'
    assert raised.value.hint == "check that the file exists and that you may read it"


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_not_a_file_is_refused_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "app.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")

    with pytest.raises(SourceError, match=r'spec "app\.yaml" is not a file'):
        read_source(path, "app.yaml", DiagnosticSink())


def test_the_digest_is_of_the_bytes() -> None:
    text = "a: é\r\n"

    expected = hashlib.blake2b(b"a: \xc3\xa9\r\n", digest_size=16).hexdigest()

    assert SourceFile("app.yaml", text).digest == expected
    assert SourceFile("other.yaml", text).digest == expected


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_offsets_become_lines_and_columns_in_characters(line_end: str) -> None:
    source = SourceFile("app.yaml", f"a{line_end}é😀b{line_end}")
    start = 1 + len(line_end)

    assert source.span(0, 1) == Span("app.yaml", 1, 1, 1, 2)
    assert source.span(start + 2, start + 3) == Span("app.yaml", 2, 3, 2, 4)
    assert source.span(0, len(source.text)) == Span("app.yaml", 1, 1, 3, 1)
