"""What reading one text gives: plain data, the place of every node, and what is wrong."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from meshc.spec.budget import Budget

# Code point offsets are below the file budget, so 32 bits hold them.
MARK_TYPE: Final = "I"
_LINE_ENDS = frozenset({"", "\n", "\r"})


class UnreadableError(Exception):
    """Nothing after this place can be read; the reason is in the problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A finding in offsets into the text; becomes a diagnostic when the file is known.

    ``related`` holds places that belong to the finding, each with what it is.
    """

    code: str
    message: str
    start: int
    end: int
    hint: str
    related: tuple[tuple[int, int, str], ...] = ()


@dataclass(slots=True)
class Composition:
    """The result of reading one text.

    ``marks`` holds two offsets, start and end, for the root, then in document order for every
    key and every value.  ``data`` means nothing if there are problems.
    """

    budget: Budget
    data: Any = None
    marks: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def packed_marks(self) -> bytes:
        """Return the marks in the form that a document keeps and a cache stores."""
        return array(MARK_TYPE, self.marks).tobytes()

    def report(
        self,
        code: str,
        message: str,
        start: int,
        end: int,
        *,
        hint: str,
        related: tuple[tuple[int, int, str], ...] = (),
    ) -> None:
        """Note a finding and go on.

        Raises:
            UnreadableError: there are so many that reading on helps nobody.
        """
        self.problems.append(
            Problem(code=code, message=message, start=start, end=end, hint=hint, related=related)
        )
        if len(self.problems) >= self.budget.problems:
            raise UnreadableError

    def give_up(self, code: str, message: str, start: int, end: int, *, hint: str) -> NoReturn:
        """Note a finding after which nothing can be read.

        Raises:
            UnreadableError: always.
        """
        self.report(code, message, start, end, hint=hint)
        raise UnreadableError

    def refuse_depth(self, start: int) -> NoReturn:
        """Stop at a collection that lies too deep."""
        self.give_up(
            "MC103",
            f"values are nested more than {self.budget.depth} levels deep",
            start,
            start + 1,
            hint="no setting needs such depth; look for a bracket that is never closed",
        )

    def refuse_nodes(self, start: int, end: int) -> NoReturn:
        """Stop at the node that is one too many."""
        self.give_up(
            "MC103",
            f"the file has more than {self.budget.nodes} keys and values",
            start,
            end,
            hint="split it into one file for each service",
        )

    def refuse_long_scalar(self, length: int, start: int) -> NoReturn:
        """Stop at a text that is too long to be a setting."""
        self.give_up(
            "MC103",
            f"one value is {length} characters long, more than {self.budget.scalar_length}",
            start,
            start + 1,
            hint="no setting is that long; look for a quote that is never closed",
        )


def character_end(text: str, at: int) -> int:
    """Return the end of the character at an offset; line ends and the end of the text have none."""
    return at if text[at : at + 1] in _LINE_ENDS else at + 1


def shorten(text: str, limit: int = 60) -> str:
    """Quote a piece of a user's text for a message, on one line and of bounded length."""
    printable = "".join(char if char.isprintable() else " " for char in text[: limit + 1])
    flat = " ".join(printable.split())
    return f'"{flat[:limit]}…"' if len(text) > limit else f'"{flat}"'


def key_mark(mapping: dict[str, Any], key: str, slot: int) -> int:
    """Return where the marks of a key are; ``slot`` is where those of its mapping are.

    This is the one rule of the order of marks: two for the collection, then for each entry two
    for the key and those of the value.
    """
    before = takewhile(lambda entry: entry[0] != key, mapping.items())
    return slot + 2 + sum(2 + 2 * node_count(value) for _, value in before)


def item_mark(items: list[Any], index: int, slot: int) -> int:
    """Return where the marks of a list's item are; ``slot`` is where those of the list are."""
    return slot + 2 + 2 * sum(node_count(item) for item in items[:index])


def node_count(value: Any) -> int:
    """Return how many keys and values a value consists of, itself included."""
    if isinstance(value, dict):
        return 1 + sum(1 + node_count(item) for item in value.values())
    if isinstance(value, list):
        return 1 + sum(node_count(item) for item in value)
    return 1
