"""Parse one spec file, YAML 1.2 or JSON, into a document with positions.

Stricter than YAML where YAML lets people and programs read different things: no duplicate keys,
anchors, merge keys or tags, no ambiguous numbers, one document for each file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.diagnostics import Related
from meshc.spec.budget import DEFAULT_BUDGET, Budget
from meshc.spec.document import Document, compose
from meshc.spec.source import check_characters, check_size

if TYPE_CHECKING:
    from meshc.diagnostics import DiagnosticSink
    from meshc.spec.source import SourceFile

__all__ = ["DEFAULT_BUDGET", "Budget", "parse_yaml"]


def parse_yaml(
    source: SourceFile, sink: DiagnosticSink, budget: Budget = DEFAULT_BUDGET
) -> Document | None:
    """Return the document of a source, or None if a mistake was reported.

    Never raises for what the text says, and takes at most seconds for the worst text that the
    budget lets in.
    """
    if not check_size(source, sink, budget) or not check_characters(source, sink):
        return None
    composition = compose(source, budget)
    if not composition.problems:
        return Document(source, composition.data, composition.packed_marks())
    lines = source.lines()
    for problem in composition.problems:
        sink.report(
            problem.code,
            problem.message,
            at=lines.span(problem.start, problem.end),
            hint=problem.hint,
            related=tuple(
                Related(lines.span(start, end), message) for start, end, message in problem.related
            ),
        )
    return None
