"""Locks of folders: waited for, but not for ever, and with a word on who holds them."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from meshc.diagnostics.errors import OutputError

PATIENCE_S = 120.0
"""Longer than a build of the largest mesh takes."""
_PAUSE_S = 0.05
_LOCKS = Path("/proc/locks")


def wait_for_lock(descriptor: int, kind: int, folder: Path) -> None:
    """Lock a folder, ``kind`` being LOCK_EX or LOCK_SH.

    Raises:
        OutputError: it was locked by others all the time.
    """
    limit = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > limit:
                holders = _holders(descriptor)
                raise OutputError(
                    f'"{folder}" has been locked for {PATIENCE_S:.0f} s'
                    + (f" by {' and '.join(holders)}" if holders else ""),
                    hint="wait for it, or end it, and build again",
                ) from None
            time.sleep(_PAUSE_S)
        else:
            return


def _holders(descriptor: int) -> list[str]:
    """Name the processes that hold a lock of a file, as far as Linux tells."""
    status = os.fstat(descriptor)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = [line.split() for line in _LOCKS.read_text().splitlines()]
    except OSError:
        return []
    found = {int(words[4]) for words in lines if "->" not in words and place in words}
    return [f"process {number}{_name(number)}" for number in sorted(found)]


def _name(process: int) -> str:
    try:
        return f" ({Path(f'/proc/{process}/comm').read_text().strip()})"
    except OSError:
        return ""
