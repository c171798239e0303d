"""Compose plain data and positions from YAML parser events, under a budget.

PyYAML's own composers and constructors are never used: they recurse in C until the process
dies, expand aliases, drop duplicate keys, and read YAML 1.1.  The event stream needs constant
stack and is left at the first event that is too deep.  It costs the same as composing in C,
because most of both is the creation of Python objects.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from meshc.spec.composition import (
    Composition,
    Problem,
    UnreadableError,
    character_end,
    key_mark,
    shorten,
)
from meshc.spec.scalars import (
    MAPPING_TAG,
    NAMED,
    NUMBER_START,
    SEQUENCE_TAG,
    STRING_TAG,
    Scalar,
    TagError,
    UnusableNumberError,
    number_or_text,
    plain_value,
    tag_name,
    tagged_value,
)
from meshc.spec.syntax import wording

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.spec.budget import Budget

try:
    from yaml.cyaml import CParser as _EventParser  # type: ignore[attr-defined]
except ImportError:  # pragma: no cover - every wheel of PyYAML has the extension
    from yaml import SafeLoader as _EventParser  # type: ignore[assignment]

# libyaml looks through all tag directives for each new one: 1 MiB of them takes seconds before
# the first event.  So directives, which can only stand at the start of a line, are found first.
_DIRECTIVE = re.compile(r"(?:^|(?<=[\n\r]))%(?:TAG|YAML)[^\n\r]*")

_WRITE_OUT = "write the value out where it is needed; defaults of all services belong in mesh.yaml"
_NO_TAGS = "remove the tag; put the value in quotes if it is a text"


def compose_yaml(text: str, budget: Budget) -> Composition:
    """Read the one document of a text whose characters are all allowed.

    Never raises for what the text says: everything wrong is in the result's ``problems``.
    """
    composition = Composition(budget)
    composer = _Composer(text, composition)
    with contextlib.suppress(UnreadableError):
        try:
            composer.compose()
        except yaml.YAMLError as error:
            composer.report_syntax(error)
    return composition


class _Composer:
    """The state of reading one text."""

    def __init__(self, text: str, composition: Composition) -> None:
        self._text = text
        self._out = composition

    def compose(self) -> None:
        """Read the document and check that it is the only one."""
        if "%" in self._text and (directive := _DIRECTIVE.search(self._text)):
            self._refuse_directive(directive.start(), directive.end())
        # Events are Any: the stubs allow for missing marks, which the parser never leaves out.
        next_event: Callable[[], Any] = _EventParser(self._text).get_event
        event = next_event()
        while event.__class__ is StreamStartEvent:
            event = next_event()
        if event.__class__ is not DocumentStartEvent:
            self._refuse_empty()
        self._out.data = self._compose_root(next_event)
        event = next_event()
        if event.__class__ is not StreamEndEvent:
            start = event.start_mark.index
            self._out.give_up(
                "MC107",
                "a second document starts here",
                start,
                max(start, event.end_mark.index),
                hint="write it into its own file",
            )
        if self._out.data is None and not self._out.problems:
            self._refuse_empty()

    def _compose_root(self, next_event: Callable[[], Any]) -> Any:  # noqa: C901, PLR0912, PLR0915
        """Read the nodes up to the end of the document.

        One loop on purpose: a call for each event would double the time of the hottest loop of
        an unchanged build.  ``key`` is the key whose value comes next, None where a key comes
        next; ``slot`` is where the marks of the open collection are.
        """
        out = self._out
        marks = out.marks
        mark = marks.append
        text_limit = out.budget.scalar_length
        mark_limit = 2 * out.budget.nodes
        depth_limit = out.budget.depth
        root: list[Any] = []
        container: Any = root
        in_mapping = False
        key: str | None = None
        slot = 0
        is_flow = True
        open_collections: list[tuple[Any, bool, int, bool]] = []
        last_end = 0
        while True:
            event = next_event()
            kind = event.__class__
            start = event.start_mark.index
            if kind is ScalarEvent:
                last_end = event.end_mark.index
                text = event.value
                if len(text) > text_limit:
                    out.refuse_long_scalar(len(text), start)
                if event.style in _BLOCK_STYLES:
                    # The parser's mark is behind the blank lines that follow.
                    last_end = start + len(self._text[start:last_end].rstrip())
                mark(start)
                mark(last_end)
                if len(marks) > mark_limit:
                    out.refuse_nodes(start, last_end)
                if in_mapping and key is None:
                    key = text
                    if key in container or event.anchor or event.tag or key in _ODD_KEYS:
                        key = self._checked_key(event, container, slot)
                    continue
                value: Scalar
                if event.anchor or event.tag:
                    value = self._special_value(event)
                elif not event.implicit[0]:
                    value = text
                elif text in NAMED:
                    value = NAMED[text]
                elif text[0] in NUMBER_START:
                    try:
                        value = number_or_text(text)
                    except UnusableNumberError as error:
                        out.report("MC108", error.message, start, last_end, hint=error.hint)
                        value = None
                else:
                    value = text
                if in_mapping:
                    container[key] = value
                    key = None
                else:
                    container.append(value)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                if len(open_collections) >= depth_limit:
                    out.refuse_depth(start)
                if event.anchor or event.tag:
                    self._check_collection(event)
                new: Any = {} if kind is MappingStartEvent else []
                if not in_mapping:
                    container.append(new)
                elif key is None:
                    self._refuse_complex_key(event)
                else:
                    container[key] = new
                open_collections.append((container, in_mapping, slot, is_flow))
                slot = len(marks)
                container = new
                in_mapping = kind is MappingStartEvent
                key = None
                is_flow = event.flow_style
                mark(start)
                mark(start)
                if len(marks) > mark_limit:
                    out.refuse_nodes(start, event.end_mark.index)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                if is_flow:
                    last_end = event.end_mark.index
                # The end mark of a block collection is the start of whatever follows it; its
                # own end is that of its last node.
                marks[slot + 1] = last_end
                container, in_mapping, slot, is_flow = open_collections.pop()
                key = None
            elif kind is AliasEvent:
                last_end = event.end_mark.index
                self._report_anchor(f"alias {shorten('*' + event.anchor)}", event)
                mark(start)
                mark(last_end)
                if in_mapping and key is None:
                    key = self._placeholder()
                elif in_mapping:
                    container[key] = None
                    key = None
                else:
                    container.append(None)
            else:
                return root[0]

    def _checked_key(self, event: Any, mapping: dict[str, Any], slot: int) -> str:
        """Report what is wrong with a key, if anything is, and return what stands for it."""
        out = self._out
        start, end = event.start_mark.index, out.marks[-1]
        key: str = event.value
        if event.anchor:
            self._report_anchor(f"anchor {shorten('&' + event.anchor)}", event)
        if event.tag and event.tag != STRING_TAG:
            out.report(
                "MC105",
                f"tag {tag_name(event.tag)} is not allowed on a key",
                start,
                end,
                hint="remove the tag; keys are always texts",
            )
        elif key == "<<" and event.implicit[0]:
            out.report("MC104", 'merge key "<<" is not allowed', start, end, hint=_WRITE_OUT)
        elif key == "" and event.implicit[0]:
            out.report(
                "MC109",
                'the key before ":" is missing',
                start,
                end,
                hint='write "key: value", or put the text in quotes',
            )
        if key in mapping:
            first = key_mark(mapping, key, slot)
            out.report(
                "MC102",
                f"key {shorten(key)} is given twice",
                start,
                end,
                hint="keep one of the two; nothing is merged",
                related=((out.marks[first], out.marks[first + 1], "first given here"),),
            )
            return self._placeholder()
        return key

    def _special_value(self, event: Any) -> Scalar:
        """Return the value of a scalar that has an anchor or a tag."""
        start, end = event.start_mark.index, self._out.marks[-1]
        if event.anchor:
            self._report_anchor(f"anchor {shorten('&' + event.anchor)}", event)
        try:
            if event.tag:
                return tagged_value(event.tag, event.value)
            return plain_value(event.value) if event.implicit[0] else event.value
        except TagError as error:
            self._out.report("MC105", str(error), start, end, hint=_NO_TAGS)
        except UnusableNumberError as error:
            self._out.report("MC108", error.message, start, end, hint=error.hint)
        return None

    def _check_collection(self, event: Any) -> None:
        """Report the anchor or tag of a collection."""
        if event.anchor:
            self._report_anchor(f"anchor {shorten('&' + event.anchor)}", event)
        own = MAPPING_TAG if isinstance(event, MappingStartEvent) else SEQUENCE_TAG
        if event.tag and event.tag != own:
            start = event.start_mark.index
            # The event ends where the content of the collection begins, maybe lines later.
            properties = self._text[start : event.end_mark.index].split(maxsplit=1)[0]
            self._out.report(
                "MC105",
                f"tag {tag_name(event.tag)} is not allowed",
                start,
                start + len(properties),
                hint="remove the tag",
            )

    def _report_anchor(self, what: str, event: Any) -> None:
        start = event.start_mark.index
        length = len(event.anchor) + 1
        self._out.report(
            "MC104",
            f"{what} is not allowed",
            start,
            min(start + length, event.end_mark.index),
            hint=_WRITE_OUT + '; put a text that starts with "*" or "&" in quotes',
        )

    def _refuse_complex_key(self, event: Any) -> NoReturn:
        what = "mapping" if isinstance(event, MappingStartEvent) else "list"
        start = event.start_mark.index
        self._out.give_up(
            "MC109",
            f"a {what} cannot be a key",
            start,
            max(event.end_mark.index, start + 1),
            hint='put a text that starts with "{" or "[" in quotes; specs are not templates',
        )

    def _placeholder(self) -> str:
        """Return a key for an entry that is refused, so that marks and data stay in step."""
        return f"\0{len(self._out.marks)}"

    def _refuse_directive(self, start: int, end: int) -> NoReturn:
        self._out.give_up(
            "MC101",
            'a line that starts with "%" is a directive, which specs do not have',
            start,
            end,
            hint="remove the line; specs are read as YAML 1.2",
        )

    def _refuse_empty(self) -> NoReturn:
        self._out.give_up(
            "MC107", "the file holds no spec", 0, 0, hint="write a spec into it, or delete it"
        )

    def report_syntax(self, error: yaml.YAMLError) -> None:
        """Turn the parser's refusal into a problem."""
        text = self._text
        related: tuple[tuple[int, int, str], ...] = ()
        mark = getattr(error, "problem_mark", None)
        opening = getattr(error, "context_mark", None)
        at = 0 if mark is None else min(mark.index, len(text))
        if getattr(error, "problem", None) == _TOO_DEEP_FOR_LIBYAML:
            self._out.refuse_depth(at)
        words = wording(
            getattr(error, "context", None), getattr(error, "problem", None), text[at : at + 1]
        )
        if opening is not None and words.at_opening:
            at = opening.index
        elif opening is not None and words.opening is not None:
            related = ((opening.index, opening.index + 1, words.opening),)
        self._out.problems.append(
            Problem(
                code="MC101",
                message=words.message,
                start=at,
                end=character_end(text, at),
                hint=words.hint,
                related=related,
            )
        )


_BLOCK_STYLES = frozenset("|>")
# Newer releases stop at a depth of their own, some thousand levels, which they look ahead for:
# that comes before the event at which our budget would end.
_TOO_DEEP_FOR_LIBYAML = "exceeded maximum nesting depth"
_ODD_KEYS = frozenset({"", "<<"})
