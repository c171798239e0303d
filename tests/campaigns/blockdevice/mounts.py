"""Loop devices and mounts that are taken down again whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTROL = Path("/dev/loop-control")
_GET_FREE, _CONFIGURE = 0x4C82, 0x4C0A
_DROP_CACHE = 0x1261
_AUTOCLEAR = 4
_INFO_FLAGS_OFFSET, _CONFIG_SIZE = 8 + 52, 304  # struct loop_config: lo_flags of its loop_info64
_DETACH = 2
_NEW_NAMESPACE = 0x20000
_RECURSIVE, _PRIVATE = 1 << 14, 1 << 18
_ATTEMPTS = 200
_PAUSE_S = 0.02
_LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: Path | str, place: Path, kind: str, options: str = "") -> None:
    """Mount a file system; raises OSError."""
    given = (str(source).encode(), str(place).encode(), kind.encode(), 0, options.encode())
    if _LIBC.mount(given[0], given[1], given[2], ctypes.c_ulong(given[3]), given[4]):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"mount of {source} at {place}")


def unmount(place: Path) -> None:
    """Unmount; what stays busy is cut off, so that it goes when the last user has gone."""
    for _ in range(_ATTEMPTS):
        if not _LIBC.umount2(str(place).encode(), 0):
            return
        if ctypes.get_errno() != errno.EBUSY:
            break
        time.sleep(_PAUSE_S)
    _LIBC.umount2(str(place).encode(), _DETACH)


def keep_mounts_to_this_process() -> None:
    """Let what is mounted from now on be seen here only, and go even if this process is killed."""
    if _LIBC.unshare(_NEW_NAMESPACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "a mount namespace")
    if _LIBC.mount(b"none", b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "mounts of its own")


@contextlib.contextmanager
def mounted(source: Path | str, place: Path, kind: str, options: str = "") -> Iterator[Path]:
    """Have a file system mounted for a while."""
    mount(source, place, kind, options)
    try:
        yield place
    finally:
        unmount(place)


@contextlib.contextmanager
def loop_device(file: Path) -> Iterator[Path]:
    """Have a file as a block device for a while; raises OSError where that cannot be.

    The kernel lets go of it by itself once nobody has it open, so even a kill leaves none behind.
    """
    with contextlib.ExitStack() as held:
        backing = _opened(held, file)
        device = _attached(held, backing)
        yield device


def _opened(held: contextlib.ExitStack, place: Path) -> int:
    descriptor = os.open(place, os.O_RDWR | os.O_CLOEXEC)
    held.callback(os.close, descriptor)
    return descriptor


def _attached(held: contextlib.ExitStack, backing: int) -> Path:
    control = _opened(held, _CONTROL)
    for _ in range(_ATTEMPTS):
        device = Path(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}")
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        wanted = bytearray(_CONFIG_SIZE)
        struct.pack_into("=I", wanted, 0, backing)
        struct.pack_into("=I", wanted, _INFO_FLAGS_OFFSET, _AUTOCLEAR)
        try:
            fcntl.ioctl(descriptor, _CONFIGURE, bytes(wanted))
        except OSError as error:
            os.close(descriptor)
            if error.errno != errno.EBUSY:  # somebody else was quicker
                raise
            time.sleep(_PAUSE_S)
            continue
        held.callback(os.close, descriptor)
        # Who else had it open for a moment has kept blocks of its last file in the cache.
        fcntl.ioctl(descriptor, _DROP_CACHE)
        return device
    raise OSError(errno.EBUSY, "no loop device can be had")


def why_no_mounts() -> str:
    """Why this process cannot mount a file as a disk; empty: it can."""
    if os.geteuid():
        return "only root may mount a disk"
    with tempfile.TemporaryDirectory(prefix="meshc-power-") as folder:
        file = Path(folder) / "file"
        file.write_bytes(bytes(1 << 20))
        try:
            with loop_device(file):
                pass
            place = Path(folder) / "place"
            place.mkdir()
            with mounted("none", place, "tmpfs"):
                pass
        except OSError as error:
            return f"no loop device, or no mount, can be had: {error}"
    return ""
