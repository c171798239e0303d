"""An ext4 file system on a disk that logs its writes, and where that can be had."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.blockdevice.mounts import loop_device, mounted, unmount, why_no_mounts
from tests.campaigns.blockdevice.nbd import LoggingServer

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 16 * 1024 * 1024
BLOCK = 4096
KIND = "ext4"
_PROGRAMS = {"nbdfuse": "libnbd-bin", "mkfs.ext4": "e2fsprogs", "setpriv": "util-linux"}
_FUSE = Path("/dev/fuse")
_JOURNAL_MIB = 4
_LIMIT_S = 30.0
_PAUSE_S = 0.01
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDisk:
    """A mounted file system, what it was made of, and the log of what happens below it."""

    root: Path
    server: LoggingServer
    initial: bytes


def require() -> str:
    """Why no power cut can be made on this machine; empty: it can.

    Raises RuntimeError in CI where programs are missing: they could have been installed.
    """
    if os.geteuid():
        return "only root may mount a disk"
    if reason := _no_fuse() or why_no_mounts():
        return reason
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if not missing:
        return ""
    packages = ", ".join(_PROGRAMS[program] for program in missing)
    reason = f"no {', '.join(missing)} on the PATH (Debian: {packages})"
    if os.environ.get("CI"):
        raise RuntimeError(f"{reason}; CI must have it")
    return reason


def memory() -> Path | None:
    """Where disks are kept while they are tried; None: wherever temporary files go."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None


@contextlib.contextmanager
def logged_disk(folder: Path, options: str, content: bytes = b"") -> Iterator[LoggedDisk]:
    """Mount a disk that logs, a new one unless it is given; all of it goes at the end."""
    initial = content or _formatted(folder / "initial")
    with contextlib.ExitStack() as held:
        server = held.enter_context(LoggingServer(folder / "nbd.sock", initial))
        file = held.enter_context(_as_file(server, folder / "disk"))
        device = held.enter_context(loop_device(file))
        root = folder / "root"
        root.mkdir()
        held.enter_context(mounted(device, root, KIND, options))
        yield LoggedDisk(root=root, server=server, initial=initial)


def _no_fuse() -> str:
    try:
        os.close(os.open(_FUSE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"no file systems in user space: {error}"
    return ""


def _formatted(file: Path) -> bytes:
    """Make a file system that has nothing left to do later, so that the log is the agent's."""
    with file.open("wb") as stream:
        stream.truncate(SIZE)
    subprocess.run(
        [
            *("mkfs.ext4", "-q", "-F", "-b", str(BLOCK), "-J", f"size={_JOURNAL_MIB}"),
            *("-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-m", "0", str(file)),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    content = file.read_bytes()
    file.unlink()
    return content


@contextlib.contextmanager
def _as_file(server: LoggingServer, file: Path) -> Iterator[Path]:
    """Have the server's disk as a file; nbdfuse dies with this process, and ends with the mount."""
    file.touch()
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "nbdfuse", file, "--unix", server.address],
        stdin=subprocess.DEVNULL,
    )
    try:
        _await_size(process, file, server.size)
        yield file
    finally:
        unmount(file)
        try:
            process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_size(process: subprocess.Popen[bytes], file: Path, size: int) -> None:
    end = time.monotonic() + _LIMIT_S
    while file.stat().st_size != size:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("nbdfuse does not come up")
        time.sleep(_PAUSE_S)
