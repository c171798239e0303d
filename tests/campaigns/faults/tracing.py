"""strace on one thread: count its system calls, kill the process at one, or let one fail.

`strace -f` would give every thread a count of its own and so never reach the later ones; attached
to one thread, "the 7th write of the worker" is the same call in every run.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = ("main", "worker")
_LIMIT_S = 30
_TO_WRITE = re.compile(rb"O_WRONLY|O_RDWR|O_CREAT")


@dataclass(frozen=True, slots=True)
class Point:
    """The n-th call of a kind that a thread makes."""

    thread: str
    call: str
    n: int
    only_reads: bool = False

    def __str__(self) -> str:
        return f"{self.call} {self.n} of {self.thread}"


@dataclass(slots=True)
class Calls:
    """The calls of a thread: how many of each kind, and which of those that open a file write."""

    counts: Counter[str] = field(default_factory=Counter)
    opened_to_write: set[int] = field(default_factory=set)


def is_available() -> bool:
    """Whether strace is there."""
    return shutil.which("strace") is not None


def require() -> str:
    """Why points cannot be reached on this machine; empty: they can.  Raises in CI."""
    if is_available():
        return ""
    if os.environ.get("CI"):
        raise RuntimeError("no strace on the PATH; CI must have one")
    return "no strace on the PATH"


@contextlib.contextmanager
def attached(tid: int, point: Point, effect: str) -> Iterator[None]:
    """Let something happen at a point of a thread: ``signal=KILL``, ``error=ENOSPC``."""
    with _strace(
        tid, "-e", f"trace={point.call}", "-e", f"inject={point.call}:{effect}", "-o", os.devnull
    ):
        yield


@contextlib.contextmanager
def counting(tid: int) -> Iterator[dict[int, Calls]]:
    """Count the calls of all threads of a process, by thread; filled when the block ends."""
    found: dict[int, Calls] = {}
    with tempfile.NamedTemporaryFile() as stream:
        with _strace(tid, "-f", "-e", "signal=none", "-o", stream.name):
            yield found
        for line in Path(stream.name).read_bytes().splitlines():
            parts = line.split(None, 1)
            match = re.match(rb"([a-z_0-9]+)\(", parts[1]) if len(parts) > 1 else None
            if match is not None:  # a resumed call was counted when it began
                calls = found.setdefault(int(parts[0]), Calls())
                calls.counts[match[1].decode()] += 1
                if match[1] == b"openat" and _TO_WRITE.search(parts[1]):
                    calls.opened_to_write.add(calls.counts["openat"])


@contextlib.contextmanager
def _strace(tid: int, *arguments: str) -> Iterator[None]:
    process = subprocess.Popen(
        ["strace", *arguments, "-p", str(tid)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        if b"attached" not in line:
            raise RuntimeError(f"strace cannot attach: {line.decode(errors='replace').strip()}")
        yield
        process.wait(_LIMIT_S)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(_LIMIT_S)
        process.stderr.close()
