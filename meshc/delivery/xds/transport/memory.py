"""How much memory there is left, and memory that is free, given back to the machine.

A control group that has no memory left ends a process.  So before it is that far, what is new is
turned away.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1024 * 1024
_SPARE = 10
"""One part of so many is for those who are there already."""
_MOST_SPARE, _LEAST_PARTS = 32 * _MIB, 4
"""At least so much is, or of a small limit one part of so many."""
_FRESH_S = 0.1
_UNLIMITED = 1 << 60
"""What the first version of control groups says is a large number, and not always the same one."""


def collect_memory() -> None:
    """Give back also what only refers to itself; everything is looked at, which takes a while."""
    gc.collect()
    return_memory()


def return_memory() -> None:
    """Give back what was taken for a moment, where the C library would keep it."""
    with contextlib.suppress(AttributeError):  # others than glibc give it back by themselves
        ctypes.CDLL(None).malloc_trim(0)


@dataclass(frozen=True, slots=True)
class _Group:
    """A control group: what it may take, and the file and key with what it has taken."""

    limit: Path
    statistics: Path
    key: str

    def look(self) -> tuple[int, int]:
        """Return what is taken and what may be, in bytes; nothing of everything without a limit.

        Raises:
            OSError, ValueError: the group is gone, or was moved.
        """
        most = self.limit.read_text().strip()
        if most != "max" and int(most) < _UNLIMITED:
            for line in self.statistics.read_text().splitlines():
                name, _, number = line.partition(" ")
                if name == self.key:
                    return int(number), int(most)
        return 0, _UNLIMITED


class Memory:
    """What the control groups of this process may take.

    Sources: ``cgroup-v2.rst`` and ``cgroup-v1/memory.rst`` of the kernel's documentation.
    """

    def __init__(
        self, groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
    ) -> None:
        self._groups = list(_groups(groups, own))
        self._seen_at = -_FRESH_S
        self._shortage = ""

    def shortage(self) -> str:
        """Say how much is taken where that is nearly everything, "" where it is not."""
        now = time.monotonic()
        if now - self._seen_at >= _FRESH_S:
            self._seen_at = now
            self._shortage = self._look()
        return self._shortage

    def _look(self) -> str:
        for one in self._groups:
            try:
                taken, limit = one.look()
            except (OSError, ValueError):
                continue
            spare = max(limit // _SPARE, min(_MOST_SPARE, limit // _LEAST_PARTS))
            if taken > limit - spare:
                return (
                    f"{taken // _MIB} of {limit // _MIB} MiB are taken; who is new is turned away"
                )
        return ""


def _groups(root: Path, own: Path) -> Iterator[_Group]:
    """Yield the control groups of a process that limit memory, each within the one before."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            place, limit, key = root, "memory.max", "anon"
        elif "memory" in controllers.split(","):
            place, limit, key = root / "memory", "memory.limit_in_bytes", "total_rss"
        else:
            continue
        # In a container the path may be that of outside, where the root is the container's own.
        for folder in (place, *(place.joinpath(*way) for way in _ways(path))):
            if (folder / limit).is_file():
                yield _Group(folder / limit, folder / "memory.stat", key)


def _ways(path: str) -> Iterator[tuple[str, ...]]:
    parts = [part for part in path.split("/") if part]
    for length in range(len(parts)):
        yield tuple(parts[: length + 1])
