"""What Consul takes as metadata: 64 pairs, plain keys, short values.

What does not fit is left out and told about; a label is never a reason not to register a host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MOST_PAIRS = 64
_LONGEST_KEY = 128
_LONGEST_VALUE = 512
"""Bytes: Consul counts those of UTF-8."""
_UNUSUAL = re.compile(r"[^A-Za-z0-9_-]")


class Metadata:
    """Pairs in the order of their importance, and what was left out or spelled differently."""

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self.pairs = dict(pairs)
        self.notes: list[str] = []

    def add_list(self, key: str, names: Iterable[str]) -> None:
        """Add a list of names, joined by commas; one too long goes on in ``key-2``, ``key-3``."""
        lines: list[str] = []
        for name in names:
            if lines and len(lines[-1]) + 1 + len(name) <= _LONGEST_VALUE:
                lines[-1] += f",{name}"
            else:
                lines.append(name)
        for number, line in enumerate(lines, start=1):
            self._add(key if number == 1 else f"{key}-{number}", line, what=f"part of {key}")

    def add_labels(self, prefix: str, labels: Mapping[str, str]) -> None:
        """Add labels as ``<prefix><label>``, with "_" for what Consul has not in keys."""
        # A label that is spelled as it is comes before one that would only be spelled like it.
        for label in sorted(labels, key=lambda one: (_UNUSUAL.search(one) is not None, one)):
            key = prefix + _UNUSUAL.sub("_", label)
            if key in self.pairs:
                self.notes.append(f'label "{label}" is left out: another one is "{key}" too')
            elif self._add(key, labels[label], what=f'label "{label}"') and key != prefix + label:
                self.notes.append(f'label "{label}" is registered as "{key}"')

    def _add(self, key: str, value: str, *, what: str) -> bool:
        if len(self.pairs) >= _MOST_PAIRS:
            self.notes.append(f"{what} is left out: Consul takes {_MOST_PAIRS} pairs of metadata")
        elif len(key) > _LONGEST_KEY:
            self.notes.append(f"{what} is left out: Consul takes {_LONGEST_KEY} characters")
        elif len(value.encode()) > _LONGEST_VALUE:
            self.notes.append(
                f"{what} is left out: its value is longer than {_LONGEST_VALUE} bytes"
            )
        else:
            self.pairs[key] = value
            return True
        return False
