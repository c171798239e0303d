"""One finding and the collection that every stage reports into."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshc.diagnostics.catalog import CATALOG

if TYPE_CHECKING:
    from collections.abc import Iterable


class Severity(enum.Enum):
    """How much a finding matters; a code has exactly one."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of a spec file; lines and columns count from one, in characters.

    ``file`` is relative to the spec folder and always written with ``/``, so that the same
    specs give the same span wherever they lie.  ``end_column`` is the column after the last
    character.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Related:
    """Another place that belongs to a finding, such as the first of two declarations."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """A finding: which rule, where, what is wrong in the user's terms, what to do."""

    code: str
    message: str
    span: Span | None = None
    hint: str | None = None
    related: tuple[Related, ...] = ()

    @property
    def severity(self) -> Severity:
        """Severity of the code; the catalogue is the only place that knows it."""
        return Severity(CATALOG[self.code].severity)

    @property
    def sort_key(self) -> tuple[str, int, int, str, str]:
        """Findings are ordered by file, line, column, code; those without a place come first."""
        if self.span is None:
            return ("", 0, 0, self.code, self.message)
        return (self.span.file, self.span.line, self.span.column, self.code, self.message)


@dataclass(slots=True)
class DiagnosticSink:
    """Collects findings; stages report here and never raise for a mistake in a spec."""

    _found: dict[Diagnostic, None] = field(default_factory=dict)
    _error_count: int = 0

    def report(
        self,
        code: str,
        message: str,
        *,
        at: Span | None = None,
        hint: str | None = None,
        related: Iterable[Related] = (),
    ) -> None:
        """Add a finding; a repeated one is kept once."""
        self.add(Diagnostic(code=code, message=message, span=at, hint=hint, related=tuple(related)))

    def add(self, diagnostic: Diagnostic) -> None:
        """Add a finished finding; a repeated one is kept once."""
        if diagnostic in self._found:
            return
        self._found[diagnostic] = None
        if diagnostic.severity is Severity.ERROR:
            self._error_count += 1

    @property
    def has_errors(self) -> bool:
        """Whether at least one finding is an error."""
        return self._error_count > 0

    @property
    def has_findings(self) -> bool:
        """Whether there is anything at all, if only a warning."""
        return bool(self._found)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """All findings in their stable order."""
        return tuple(sorted(self._found, key=lambda diagnostic: diagnostic.sort_key))
