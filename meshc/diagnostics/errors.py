"""Exceptions for the world and for bugs; mistakes in specs are diagnostics, never exceptions.

MeshcError                 something around us is wrong; exit code 3
├── SourceError            specs cannot be read
├── OutputError            `out/` cannot be read or written
├── BundleError            a bundle is incomplete, altered or of an unknown format
├── EnvoyError             the Envoy program is missing, hangs, or cannot be started
├── SettingsError          meshc.toml or an option contradicts itself
├── UnknownNameError       what was asked for does not exist; exit code 2
├── DeliveryError          files cannot be brought under an Envoy (meshc.delivery.errors)
└── DemoError              the demonstration cannot run (meshc.demo.errors)
InternalError              meshc itself is wrong; exit code 4
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_SHOWN = 10


class MeshcError(Exception):
    """Something in the world prevents the work: a file, a program, a full disk."""

    def __init__(self, message: str, *, hint: str | None = None, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class SourceError(MeshcError):
    """A spec file or folder cannot be read."""


class OutputError(MeshcError):
    """The output folder cannot be read or written."""


class BundleError(MeshcError):
    """A bundle on disk is incomplete, altered, or of a format this version does not know."""


class EnvoyError(MeshcError):
    """The Envoy program is missing, hangs, or ends in a way that says nothing about the input."""


class SettingsError(MeshcError):
    """The settings file or an option cannot be used as it stands."""


class UnknownNameError(MeshcError):
    """A node, resource or code that somebody named does not exist."""

    def __init__(self, kind: str, name: str, known: Collection[str]) -> None:
        folded = {candidate.lower(): candidate for candidate in known}
        close = difflib.get_close_matches(name.lower(), list(folded), n=1)
        if close:
            hint = f'did you mean "{folded[close[0]]}"?'
        else:
            shown = sorted(known)[:_SHOWN]
            more = ", …" if len(known) > _SHOWN else ""
            hint = f"there are: {', '.join(shown)}{more}" if shown else "there are none"
        super().__init__(f'there is no {kind} "{name}"', hint=hint)


class InternalError(Exception):
    """An invariant of meshc is broken; always worth a report."""
