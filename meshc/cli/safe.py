"""Text for people: a terminal obeys nothing in it but what meshc itself puts there."""

from __future__ import annotations

import re

_COLORS = re.compile("(\x1b\\[[0-9;]{1,8}m)")
"""What styling adds; it changes how text looks, and nothing else."""
_KEPT = "\n\t"


def safe(text: str, *, has_color: bool = False) -> str:
    """Return a text with all control characters spelled out, but for line ends and tabs.

    With colours, those are kept that styling adds.
    """
    if text.isprintable():
        return text
    parts = _COLORS.split(text) if has_color else [text]
    return "".join(part if number % 2 else _spelled(part) for number, part in enumerate(parts))


def plain(text: str) -> str:
    """Return words of others, for a line of ours, with all control characters spelled out."""
    return _spelled(text, kept="")


def _spelled(text: str, kept: str = _KEPT) -> str:
    return "".join(
        one if one.isprintable() or one in kept else one.encode("unicode_escape").decode()
        for one in text
    )
