"""The shape of a catalogue entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One code: ``title`` is a short noun phrase, ``explanation`` a paragraph for users.

    ``example`` maps file names to contents; building them gives exactly this code.  It is empty
    only for codes that no spec can cause, which the explanation then says.
    """

    code: str
    severity: Literal["error", "warning"]
    title: str
    explanation: str
    example: Mapping[str, str] = field(default_factory=dict)
    retired: bool = False
