"""What the agent did, one line an event; bounded, and readable with anything damaged in it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "history.jsonl"
_MOST_BYTES = 256 * 1024


class History:
    """Appends to the history; a disk that refuses costs the line and nothing else."""

    def __init__(self, state: Path) -> None:
        self._path = state / _NAME

    def add(self, what: str, **facts: Any) -> None:
        """Remember an event."""
        line = json.dumps({"at": round(time.time(), 3), "what": what, **facts}) + "\n"
        with contextlib.suppress(OSError):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o644)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    line = f"\n{line}"  # a power cut, or a full disk, has left half a line
                os.write(descriptor, line.encode())
                is_full = size + len(line) > _MOST_BYTES
            finally:
                os.close(descriptor)
            if is_full:
                self._halve()

    def _halve(self) -> None:
        lines = self._path.read_bytes().splitlines(keepends=True)
        draft = self._path.with_suffix(".new")
        draft.write_bytes(b"".join(lines[len(lines) // 2 :]))
        draft.rename(self._path)


def read_history(state: Path, count: int) -> list[dict[str, Any]]:
    """Return the newest events, the newest last; what cannot be read is left out."""
    try:
        lines = (state / _NAME).read_bytes().splitlines()
    except OSError:
        return []
    found: list[dict[str, Any]] = []
    for line in reversed(lines):
        if len(found) >= count:
            break
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and "at" in entry and "what" in entry:
            found.append(entry)
    return found[::-1]
