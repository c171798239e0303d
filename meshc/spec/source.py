"""The text of one spec file: read once, decoded strictly, addressable by line and column."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.diagnostics import Span
from meshc.diagnostics.errors import SourceError
from meshc.spec.budget import DEFAULT_BUDGET, Budget
from meshc.spec.document import Document

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.diagnostics import DiagnosticSink

__all__ = ["Document", "SourceFile", "check_characters", "decode_source", "read_source"]

_DIGEST_BYTES = 16
# A file in the wrong encoding has thousands; after a few the reader knows.
_REPORTED_CHARACTERS = 10

_LINE_END = re.compile(r"\r\n?|\n")
_USUAL_BYTES = bytes([0x09, 0x0A, 0x0D, *range(0x20, 0x7F)])
# What YAML 1.2 does not allow, and of what it allows: the line breaks of YAML 1.1, which some
# readers still count as lines, and the controls that let a text be displayed in another order
# than it is read (CVE-2021-42574).
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_BREAKS = frozenset("\x85\u2028\u2029")
_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class LineTable:
    """Turns offsets into a text into lines and columns; the only place that does."""

    __slots__ = ("_name", "_starts")

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def span(self, start: int, end: int) -> Span:
        """Return the span from one offset to another, which is not part of it."""
        line = bisect_right(self._starts, start)
        end_line = bisect_right(self._starts, end)
        return Span(
            file=self._name,
            line=line,
            column=start - self._starts[line - 1] + 1,
            end_line=end_line,
            end_column=end - self._starts[end_line - 1] + 1,
        )


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A spec file's name, relative to the spec folder, and its text without byte order mark."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """Identity of the content: a digest of the UTF-8 bytes, less a byte order mark."""
        # `surrogatepass`, because a text that no file can hold still must not raise here.
        content = self.text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()

    def lines(self) -> LineTable:
        """Return what turns many offsets into spans."""
        return LineTable(self.name, self.text)

    def span(self, start: int, end: int) -> Span:
        """Return the span between two offsets into the text."""
        return self.lines().span(start, end)


def read_source(
    path: Path, name: str, sink: DiagnosticSink, budget: Budget = DEFAULT_BUDGET
) -> SourceFile | None:
    """Read a file once and decode it.

    Returns:
        The source, or None if its size, encoding or characters were reported.

    Raises:
        SourceError: the file cannot be read or is not a file.
    """
    return decode_source(_read_bytes(path, name, budget), name, sink, budget)


def decode_source(
    content: bytes, name: str, sink: DiagnosticSink, budget: Budget = DEFAULT_BUDGET
) -> SourceFile | None:
    """Decode what a document consists of, wherever it was read.

    Returns:
        The source, or None if its size, encoding or characters were reported.
    """
    if len(content) > budget.file_bytes:
        _report_size(name, budget, sink)
        return None
    if content.translate(None, _USUAL_BYTES) == b"":
        return SourceFile(name, content.decode("ascii"))
    if content.startswith(_UTF16_BOMS):
        sink.report(
            "MC106",
            "the file is not UTF-8 but UTF-16",
            at=Span(name, 1, 1, 1, 1),
            hint="save it as UTF-8",
        )
        return None
    content = content.removeprefix(_BOM)
    try:
        source = SourceFile(name, content.decode("utf-8"))
    except UnicodeDecodeError as error:
        before = SourceFile(name, content[: error.start].decode("utf-8"))
        sink.report(
            "MC106",
            f'byte "0x{content[error.start]:02x}" is not valid UTF-8',
            at=before.span(len(before.text), len(before.text)),
            hint="save the file as UTF-8",
        )
        return None
    return source if check_characters(source, sink) else None


def check_characters(source: SourceFile, sink: DiagnosticSink) -> bool:
    """Report characters that a spec cannot contain; tell whether there are none."""
    if source.text.isascii() and source.text.encode("ascii").translate(None, _USUAL_BYTES) == b"":
        return True
    lines = None
    count = 0
    for match in _FORBIDDEN.finditer(source.text):
        lines = lines or source.lines()
        message, hint = _describe(match.group())
        sink.report("MC106", message, at=lines.span(match.start(), match.end()), hint=hint)
        count += 1
        if count == _REPORTED_CHARACTERS:
            break
    return count == 0


def check_size(source: SourceFile, sink: DiagnosticSink, budget: Budget) -> bool:
    """Report a text above the budget; for sources that were not read from a file."""
    if len(source.text) <= budget.file_bytes:
        return True
    _report_size(source.name, budget, sink)
    return False


def _read_bytes(path: Path, name: str, budget: Budget) -> bytes:
    """Read at most one byte more than the budget allows."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SourceError(
                    f'spec "{name}" is not a file', hint="remove it from the spec folder"
                )
            return _read_up_to(descriptor, budget.file_bytes + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise SourceError(
            f'cannot read spec "{name}": {reason}',
            hint="check that the file exists and that you may read it",
        ) from error


def _read_up_to(descriptor: int, limit: int) -> bytes:
    """Read to the end of a file or to the limit; one call may return less than is there."""
    parts = []
    while limit > 0 and (part := os.read(descriptor, limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _report_size(name: str, budget: Budget, sink: DiagnosticSink) -> None:
    sink.report(
        "MC103",
        f"the file is larger than {budget.file_bytes // 1024} KiB",
        at=Span(name, 1, 1, 1, 1),
        hint="split it into one file for each service",
    )


def _describe(character: str) -> tuple[str, str]:
    """Return message and hint for a forbidden character; never the character itself."""
    code = f"U+{ord(character):04X}"
    is_surrogate = unicodedata.category(character) == "Cs"
    unnamed = "half of a surrogate pair" if is_surrogate else "control character"
    name = unicodedata.name(character, unnamed).lower()
    if character == "\0":
        return (
            f"character {code} (null) is not allowed",
            "save the file as UTF-8; UTF-16 without its mark looks like this",
        )
    if _BIDI.match(character):
        return (
            f"character {code} ({name}) is not allowed: it makes a text look like another one",
            "remove it; editors often do not show it",
        )
    if character in _BREAKS:
        return (
            f"character {code} is not allowed: programs disagree whether it ends a line",
            f'write "\\u{ord(character):04x}" in double quotes, or a line break',
        )
    return (f"character {code} ({name}) is not allowed", "remove it; editors often do not show it")
