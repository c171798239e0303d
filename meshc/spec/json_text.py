"""Read JSON with positions.

libyaml reads most of JSON, but not surrogate pairs, keys above 1,024 characters, a colon on the
next line, or tabs before a value, all of which other programs write.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from meshc.spec.composition import Composition, UnreadableError, character_end, key_mark, shorten
from meshc.spec.scalars import Scalar, UnusableNumberError, number_or_text

if TYPE_CHECKING:
    from meshc.spec.budget import Budget

_VISIBLE = re.compile(r"[^ \t\n\r]")
# Wider than JSON's words, so that a mistake is quoted whole.
_WORD = re.compile(r"[^\s\[\]{},:\"]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"-?0[0-9]+")
_NAMED: dict[str, bool | None] = {"null": None, "true": True, "false": False}
_NOT_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECODER = json.JSONDecoder()


def compose_json(text: str, budget: Budget) -> Composition:
    """Read a JSON text whose characters are all allowed; everything wrong is in the result."""
    composition = Composition(budget)
    with suppress(UnreadableError):
        _JsonReader(text, composition).read_document()
    return composition


class _JsonReader:
    """A recursive reader; the depth budget bounds the recursion."""

    def __init__(self, text: str, composition: Composition) -> None:
        self._text = text
        self._out = composition
        self._at = 0

    def read_document(self) -> None:
        if self._peek() == "":
            self._refuse_empty()
        self._out.data = self._read_value(depth=0)
        if self._out.data is None and not self._out.problems:
            self._refuse_empty()
        if self._peek() != "":
            self._out.give_up(
                "MC107",
                "the JSON value ends before this text",
                self._at,
                self._at + 1,
                hint="a .json file holds exactly one value; look for a bracket too many",
            )

    def _refuse_empty(self) -> NoReturn:
        self._out.give_up(
            "MC107", "the file holds no spec", 0, 0, hint="write a spec into it, or delete it"
        )

    def _peek(self) -> str:
        """Skip white space and return the next character, or nothing at the end."""
        visible = _VISIBLE.search(self._text, self._at)
        self._at = len(self._text) if visible is None else visible.start()
        return self._text[self._at : self._at + 1]

    def _mark(self, start: int) -> int:
        """Begin the marks of a node and return where they are."""
        marks = self._out.marks
        marks += (start, start)
        if len(marks) > 2 * self._out.budget.nodes:
            self._out.refuse_nodes(start, start + 1)
        return len(marks) - 2

    def _read_value(self, *, depth: int) -> Any:
        next_character = self._peek()
        start = self._at
        slot = self._mark(start)
        value: Any
        if next_character in ("{", "["):
            if depth >= self._out.budget.depth:
                self._out.refuse_depth(start)
            self._at += 1
            value = (
                self._read_object(start, slot, depth=depth + 1)
                if next_character == "{"
                else self._read_array(start, depth=depth + 1)
            )
        elif next_character == '"':
            value = self._read_string()
        else:
            value = self._read_word()
        self._out.marks[slot + 1] = self._at
        return value

    def _read_object(self, opening: int, slot: int, *, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if self._peek() == "}":
            self._at += 1
            return result
        while True:
            if self._peek() != '"':
                self._refuse_here("a key in double quotes is missing here", opening)
            start = self._at
            key_slot = self._mark(start)
            key = self._read_string()
            self._out.marks[key_slot + 1] = self._at
            if key in result:
                key = self._duplicate(result, key, start, slot)
            if self._peek() != ":":
                self._refuse_here('a ":" is missing after this key', opening)
            self._at += 1
            result[key] = self._read_value(depth=depth)
            if self._ends_after_item("}", opening):
                return result

    def _read_array(self, opening: int, *, depth: int) -> list[Any]:
        result: list[Any] = []
        if self._peek() == "]":
            self._at += 1
            return result
        while True:
            result.append(self._read_value(depth=depth))
            if self._ends_after_item("]", opening):
                return result

    def _ends_after_item(self, closing: str, opening: int) -> bool:
        """Step over what follows an item; tell whether it closes the collection."""
        found = self._peek()
        if found not in (",", closing) or found == "":
            self._refuse_here(f'a "," or "{closing}" is missing', opening)
        self._at += 1
        return found == closing

    def _read_string(self) -> str:
        start = self._at
        try:
            value, self._at = _DECODER.raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            self._refuse_string(error, start)
        if len(value) > self._out.budget.scalar_length:
            self._out.refuse_long_scalar(len(value), start)
        if not value.isascii() and _SURROGATE.search(value):
            self._out.report(
                "MC106",
                "this string contains half of a surrogate pair, which is not a character",
                start,
                self._at,
                hint="write both halves, or the character itself",
            )
        return str(value)

    def _refuse_string(self, error: json.JSONDecodeError, start: int) -> NoReturn:
        if error.msg.startswith("Unterminated"):
            self._out.give_up(
                "MC101", "this quote is never closed", start, start + 1, hint="close it"
            )
        if error.msg.startswith("Invalid control character"):
            message = "a string cannot contain a line break or a tab"
            hint = r'close the quote, or write "\n" or "\t"'
        else:
            message = "the text after this backslash has no meaning in JSON"
            hint = r"write a backslash twice, and \u with four hexadecimal digits"
        at = min(error.pos, len(self._text))
        self._out.give_up("MC101", message, at, character_end(self._text, at), hint=hint)

    def _read_word(self) -> Scalar:
        match = _WORD.match(self._text, self._at)
        if match is None:
            self._refuse_here("a value is missing here", None)
        start, word = self._at, match.group()
        self._at = match.end()
        if word in _NAMED:
            return _NAMED[word]
        if len(word) > self._out.budget.scalar_length:
            self._out.refuse_long_scalar(len(word), start)
        try:
            if _NUMBER.fullmatch(word):
                return number_or_text(word)
            if _LEADING_ZERO.fullmatch(word) or word in _NOT_NUMBERS:
                raise UnusableNumberError(  # noqa: TRY301 - one place reports
                    f"{shorten(word)} is not a number in JSON",
                    "write a finite number without leading zeros, or put it in quotes",
                )
        except UnusableNumberError as error:
            self._out.report("MC108", error.message, start, self._at, hint=error.hint)
            return None
        return self._out.give_up(
            "MC101",
            f"{shorten(word)} is not a value in JSON",
            start,
            self._at,
            hint="put texts in double quotes; JSON has no comments",
        )

    def _duplicate(self, result: dict[str, Any], key: str, start: int, slot: int) -> str:
        """Report a repeated key and return what stands for it, to keep marks and data in step."""
        marks = self._out.marks
        first = key_mark(result, key, slot)
        self._out.report(
            "MC102",
            f"key {shorten(key)} is given twice",
            start,
            self._at,
            hint="keep one of the two; nothing is merged",
            related=((marks[first], marks[first + 1], "first given here"),),
        )
        return f"\0{len(marks)}"

    def _refuse_here(self, message: str, opening: int | None) -> NoReturn:
        at = self._at
        related = () if opening is None else ((opening, opening + 1, "opened here"),)
        self._out.report(
            "MC101",
            message,
            at,
            character_end(self._text, at),
            hint="JSON has no comments and no comma before a closing bracket",
            related=related,
        )
        raise UnreadableError
