"""Where in the specs a thing comes from, resolved to a line only when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshc.diagnostics import Span
    from meshc.spec.source import Document


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """A document and a path in it.

    Tens of thousands of these exist in a large mesh and few are ever printed, so lines and
    columns are looked up on demand.
    """

    document: Document
    path: tuple[str | int, ...]

    @property
    def span(self) -> Span:
        """The stretch of the value."""
        return self.document.span(self.path)

    @property
    def key_span(self) -> Span:
        """The stretch of the key, for values that fill pages."""
        return self.document.span(self.path, key=True)

    def at(self, *path: str | int) -> Origin:
        """A place below this one."""
        return Origin(self.document, self.path + path)

    @property
    def exists(self) -> bool:
        """Whether the document has something at this path."""
        value = self.document.data
        for part in self.path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return False
        return True
