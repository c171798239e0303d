"""Memory that is free, given back to the machine."""

from __future__ import annotations

import contextlib
import ctypes


def return_memory() -> None:
    """Give back what was taken for a moment, where the C library would keep it."""
    with contextlib.suppress(AttributeError):  # others than glibc give it back by themselves
        ctypes.CDLL(None).malloc_trim(0)
