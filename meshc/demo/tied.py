"""Become another program that the kernel kills when its parent dies, however that dies.

Run as a file, never imported: ``python -I -S tied.py PARENT PROGRAM ARGUMENT...``
Doing this between fork and exec of a threaded parent could deadlock; here nothing runs beside.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, make sure that the parent has not died before, become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == parent:
        os.execv(program[0], program)  # noqa: S606, no shell is the point


if __name__ == "__main__":
    main()
