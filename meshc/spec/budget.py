"""How much text one spec file may cost; everything above it is refused, never attempted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of one file, far above what people write and far below what hurts a build.

    ``file_bytes`` and ``scalar_length`` bound memory, ``depth`` every recursion over the data
    that follows, ``nodes`` the time, ``problems`` the length of a report about a file that is
    something else altogether.
    """

    file_bytes: int = 1024 * 1024
    depth: int = 64
    nodes: int = 100_000
    scalar_length: int = 64 * 1024
    problems: int = 50


DEFAULT_BUDGET = Budget()
