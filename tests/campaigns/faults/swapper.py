"""Somebody who swaps a place for a link that leads elsewhere, to and fro, as fast as can be.

    python -m tests.campaigns.faults.swapper PLACE ELSEWHERE

Says "ready", and at SIGTERM how often it has swapped, or planted a link where nothing was.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
from pathlib import Path

_HERE, _BOTH = -100, 2  # AT_FDCWD, RENAME_EXCHANGE


def main() -> None:
    """Swap until told to stop."""
    place, elsewhere = (Path(name) for name in sys.argv[1:])
    link = place.with_name(f"{place.name}.link")
    names = (_HERE, bytes(place), _HERE, bytes(link), _BOTH)
    exchange = ctypes.CDLL(None, use_errno=True).renameat2
    is_over = False

    def stop(*_: object) -> None:
        nonlocal is_over
        is_over = True

    signal.signal(signal.SIGTERM, stop)
    link.symlink_to(elsewhere)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    count = 0
    while not is_over:
        if exchange(*names):
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                place.symlink_to(elsewhere)  # nothing is there just now
                place.unlink()
        count += 1
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main()
