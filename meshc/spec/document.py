"""A parsed spec file: plain data, and the place of every key and value when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshc.diagnostics import InternalError, Span
from meshc.spec.budget import Budget
from meshc.spec.composer import compose_yaml
from meshc.spec.composition import MARK_TYPE, Composition, item_mark, key_mark, node_count
from meshc.spec.json_text import compose_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshc.spec.source import SourceFile

Path = tuple[str | int, ...]

# A document was accepted under some budget before; its positions are not a reason to refuse it.
_ACCEPTED = Budget(file_bytes=2**31, depth=200, nodes=2**30, scalar_length=2**31)


def compose(source: SourceFile, budget: Budget) -> Composition:
    """Read a source in the language that its name says."""
    read = compose_json if source.name.endswith(".json") else compose_yaml
    return read(source.text, budget)


class Document:
    """Plain data with positions.

    A thousand of these are in memory at once, so positions are eight bytes for each key and
    value and nothing else; lines, columns and paths are worked out from text and data when asked
    for.  A document that is rebuilt from a cache may leave the marks out; the text is then read
    once more if a position is ever needed.
    """

    __slots__ = ("_marks", "data", "source")

    def __init__(self, source: SourceFile, data: Any, marks: bytes | None = None) -> None:
        self.source = source
        self.data = data
        self._marks = marks

    @property
    def marks(self) -> bytes:
        """Positions of all nodes in a form to be stored beside ``data``, for this machine only."""
        if self._marks is None:
            composition = compose(self.source, _ACCEPTED)
            if composition.problems or composition.data != self.data:
                raise InternalError(f"{self.source.name}: stored data do not fit the text")
            self._marks = composition.packed_marks()
        return self._marks

    def span(self, path: Sequence[str | int], *, key: bool = False) -> Span:
        """Return where a value is, or with ``key`` the key that it belongs to.

        A path that leads nowhere gives the deepest value on the way that exists: for a missing
        field the mapping that should have it.  The root and items of lists have no key; theirs
        is the value itself.
        """
        node, slot, key_slot = self.data, 0, None
        complete = True
        for segment in path:
            if isinstance(node, dict) and segment in node:
                key_slot = key_mark(node, str(segment), slot)
                slot, node = key_slot + 2, node[segment]
            elif isinstance(node, list) and isinstance(segment, int) and 0 <= segment < len(node):
                slot, key_slot, node = item_mark(node, segment, slot), None, node[segment]
            else:
                complete = False
                break
        if key and complete and key_slot is not None:
            slot = key_slot
        marks = memoryview(self.marks).cast(MARK_TYPE)
        return self.source.span(marks[slot], marks[slot + 1])

    def resolve(self, location: Iterable[str | int]) -> Path:
        """Return the path that a location means, without the segments that are not in the data.

        A validator's locations contain more than keys and indexes, such as the tag of a union
        or the name of a field that is missing.
        """
        node = self.data
        path: list[str | int] = []
        for segment in location:
            if isinstance(node, dict) and str(segment) in node:
                node = node[str(segment)]
                path.append(str(segment))
            elif isinstance(node, list) and isinstance(segment, int) and 0 <= segment < len(node):
                node = node[segment]
                path.append(segment)
        return tuple(path)

    def positions_of(
        self, paths: Iterable[Sequence[str | int]], *, key: bool = False
    ) -> list[Span]:
        """Return the spans of many paths, each as `span` does, in one walk over the data."""
        wanted: dict[Any, Any] = {}
        leaves: list[dict[Any, Any]] = []
        for path in paths:
            trie = wanted
            for segment in path:
                trie = trie.setdefault(segment, {})
            leaves.append(trie)
        marks = memoryview(self.marks).cast(MARK_TYPE)
        found: dict[int, int] = {}
        _locate(self.data, wanted, 0, 0, key=key, found=found)
        lines = self.source.lines()
        return [lines.span(marks[found[id(leaf)]], marks[found[id(leaf)] + 1]) for leaf in leaves]


def _locate(
    node: Any, wanted: dict[Any, Any], slot: int, shown: int, *, key: bool, found: dict[int, int]
) -> None:
    """Note for ``wanted`` and everything below it where its marks are.

    ``shown`` are the marks of this node itself, which are those of its key if keys are asked
    for; ``slot`` those of its value.
    """
    found[id(wanted)] = shown
    if not wanted:
        return
    below = slot + 2
    if isinstance(node, dict):
        for name, value in node.items():
            if (trie := wanted.get(name)) is not None:
                _locate(value, trie, below + 2, below if key else below + 2, key=key, found=found)
            below += 2 + 2 * node_count(value)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            if (trie := wanted.get(index)) is not None:
                _locate(value, trie, below, below, key=key, found=found)
            below += 2 * node_count(value)
    for trie in wanted.values():
        if id(trie) not in found:
            _nowhere(trie, slot, found)


def _nowhere(wanted: dict[Any, Any], slot: int, found: dict[int, int]) -> None:
    """Note that this and everything below is not in the data; ``slot`` is what is shown."""
    found[id(wanted)] = slot
    for trie in wanted.values():
        _nowhere(trie, slot, found)
