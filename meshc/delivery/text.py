"""Words for people, and lines for Prometheus, as the agent and the server both write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def age(seconds: float) -> str:
    """Say a time in the largest unit of which it has two: ``119 s``, ``2 min``, ``3 days``."""
    seconds = max(0.0, seconds)
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.0f} h"
    return f"{seconds / _DAY:.0f} days"


def printable(line: str) -> str:
    """Return a line without what a terminal would take for a command."""
    return "".join(c if c.isprintable() else " " for c in line)


def metric_head(name: str, kind: str, text: str) -> Iterator[str]:
    """Yield what stands above the samples of a metric."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def label_value(value: str) -> str:
    """Return what stands between the quotes of a label."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
