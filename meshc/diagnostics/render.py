"""Findings as text with excerpt and caret, as JSON, as SARIF, as CI annotations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from meshc.diagnostics.catalog import CATALOG
from meshc.diagnostics.diagnostic import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meshc.diagnostics.diagnostic import Diagnostic, Span

    Style = Callable[[str, str], str]
    """(text, kind) → text; kinds are error, warning, place, caret, hint."""

_TAB_WIDTH = 4
_LONGEST_LINE = 160
_CATALOG_URI = "https://github.com/meshc/meshc/blob/main/docs/diagnostics.md"


def plain(text: str, _kind: str) -> str:
    """Leave text as it is."""
    return text


def render_text(
    diagnostics: Sequence[Diagnostic],
    texts: Mapping[str, str],
    *,
    root: str,
    style: Style = plain,
) -> str:
    """Return findings for people: place, sentence, the line with a caret, hint, related places.

    ``texts`` maps file names, as spans have them, to contents; ``root`` is put before names.
    """
    return "\n".join(_one(diagnostic, texts, root, style) for diagnostic in diagnostics)


def _one(diagnostic: Diagnostic, texts: Mapping[str, str], root: str, style: Style) -> str:
    severity = diagnostic.severity.value
    label = style(f"{severity}[{diagnostic.code}]", severity)
    place = style(f"{_path(root, diagnostic.span)}: ", "place") if diagnostic.span else ""
    lines = [f"{place}{label}: {diagnostic.message}"]
    if diagnostic.span is not None:
        lines += _excerpt(diagnostic.span, texts, style)
    for related in diagnostic.related:
        lines.append(f"  {style(_path(root, related.span), 'place')}: {related.message}")
        lines += _excerpt(related.span, texts, style)
    if diagnostic.hint:
        lines.append(f"  {style('hint:', 'hint')} {diagnostic.hint}")
    return "\n".join(lines) + "\n"


def _path(root: str, span: Span) -> str:
    return f"{root}/{span}" if root not in ("", ".") else str(span)


def _excerpt(span: Span, texts: Mapping[str, str], style: Style) -> list[str]:
    """Return the first line of a span with a caret line below it; nothing if it is not known."""
    lines = texts.get(span.file, "").splitlines()
    if span.line > len(lines):
        return []
    line = lines[span.line - 1]
    start = span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    if len(line) > _LONGEST_LINE:
        cut = max(0, start - _LONGEST_LINE // 2)
        line, start, end = line[cut : cut + _LONGEST_LINE], start - cut, end - cut
    end = min(end, len(line))
    shown = _printable(line)
    before = len(_printable(line[:start]))
    width = max(1, len(_printable(line[start:end]).rstrip()))
    number = f"{span.line:>5}"
    return [
        f"{style(f'{number} |', 'place')} {shown}".rstrip(),
        f"{style(' ' * len(number) + ' |', 'place')} {' ' * before}{style('^' * width, 'caret')}",
    ]


def _printable(text: str) -> str:
    """Return text that moves no cursor: tabs as spaces, control characters as question marks."""
    return "".join(
        " " * _TAB_WIDTH if char == "\t" else char if char.isprintable() else "?" for char in text
    )


def _span_data(span: Span, root: str) -> dict[str, Any]:
    return {
        "file": f"{root}/{span.file}" if root not in ("", ".") else span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


def to_data(diagnostic: Diagnostic, root: str) -> dict[str, Any]:
    """Return a finding as plain data; the keys are the same in every finding."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        "place": _span_data(diagnostic.span, root) if diagnostic.span else None,
        "hint": diagnostic.hint,
        "related": [
            {"message": related.message, "place": _span_data(related.span, root)}
            for related in diagnostic.related
        ],
    }


def render_json(diagnostics: Sequence[Diagnostic], *, root: str) -> str:
    """Return findings as one JSON document."""
    errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    data = {
        "errors": errors,
        "warnings": len(diagnostics) - errors,
        "diagnostics": [to_data(diagnostic, root) for diagnostic in diagnostics],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def render_sarif(diagnostics: Sequence[Diagnostic], *, root: str, version: str) -> str:
    """Return findings as SARIF 2.1.0, for code-scanning services."""
    codes = sorted({diagnostic.code for diagnostic in diagnostics})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": CATALOG[code].title},
            "fullDescription": {"text": CATALOG[code].explanation},
            "helpUri": f"{_CATALOG_URI}#{code.lower()}",
            "defaultConfiguration": {"level": CATALOG[code].severity},
        }
        for code in codes
    ]
    results = [_sarif_result(diagnostic, root, codes) for diagnostic in diagnostics]
    driver = {"name": "meshc", "version": version, "rules": rules}
    data = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
        ],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _sarif_result(diagnostic: Diagnostic, root: str, codes: Sequence[str]) -> dict[str, Any]:
    text = diagnostic.message + (f"\nhint: {diagnostic.hint}" if diagnostic.hint else "")
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": codes.index(diagnostic.code),
        "level": diagnostic.severity.value,
        "message": {"text": text},
    }
    if diagnostic.span is not None:
        result["locations"] = [_sarif_location(diagnostic.span, root)]
    if diagnostic.related:
        result["relatedLocations"] = [
            {**_sarif_location(related.span, root), "message": {"text": related.message}}
            for related in diagnostic.related
        ]
    return result


def _sarif_location(span: Span, root: str) -> dict[str, Any]:
    data = _span_data(span, root)
    # Documents that are not files have an address of their own before their names.
    safe = "/:[]" if "://" in root else "/"
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(data["file"], safe=safe)},
            "region": {
                "startLine": span.line,
                "startColumn": span.column,
                "endLine": span.end_line,
                "endColumn": span.end_column,
            },
        }
    }


def render_github(diagnostics: Sequence[Diagnostic], *, root: str) -> str:
    """Return findings as workflow commands, which show up beside the changed lines."""
    return "".join(_github_line(diagnostic, root) for diagnostic in diagnostics)


def _github_line(diagnostic: Diagnostic, root: str) -> str:
    properties = {"title": f"{diagnostic.code} {CATALOG[diagnostic.code].title}"}
    if diagnostic.span is not None:
        place = _span_data(diagnostic.span, root)
        properties |= {
            "file": place["file"],
            "line": str(place["line"]),
            "col": str(place["column"]),
            "endLine": str(place["end_line"]),
            "endColumn": str(place["end_column"]),
        }
    listed = ",".join(f"{key}={_escaped(value, ',:')}" for key, value in properties.items())
    text = diagnostic.message + (f"\nhint: {diagnostic.hint}" if diagnostic.hint else "")
    return f"::{diagnostic.severity.value} {listed}::{_escaped(text)}\n"


def _escaped(text: str, more: str = "") -> str:
    """Escape text for a workflow command: line breaks, percent signs, and ``more``."""
    for char in "%\r\n" + more:
        text = text.replace(char, f"%{ord(char):02X}")
    return text
