"""A file system on a disk that logs its writes, and where that can be had."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.blockdevice.content import BLOCK, Content
from tests.campaigns.blockdevice.mounts import loop_device, mounted, unmount, why_no_mounts
from tests.campaigns.blockdevice.nbd import LoggingServer

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1024 * 1024
_PROGRAMS = {"nbdfuse": "libnbd-bin", "setpriv": "util-linux"}
_FUSE = Path("/dev/fuse")
_LIMIT_S = 30.0
_PAUSE_S = 0.01
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """A kind of file system, and how it is made and mounted for a recording."""

    name: str
    kind: str
    package: str
    make: tuple[str, ...]
    options: str
    size: int = 16 * _MIB

    @property
    def program(self) -> str:
        return self.make[0]


_EXT4 = FileSystem(
    name="ext4, data=ordered",
    kind="ext4",
    package="e2fsprogs",
    make=(
        *("mkfs.ext4", "-q", "-F", "-b", str(BLOCK), "-J", "size=4", "-m", "0"),
        *("-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"),
    ),
    options="data=ordered,noauto_da_alloc,commit=600",
)
EXT4 = (
    _EXT4,
    replace(
        _EXT4,
        name="ext4, data=writeback",
        options="data=writeback,noauto_da_alloc,commit=600",
    ),
)
"""Without the help that ext4 gives to programs that forget to sync, and with time to forget."""
BTRFS = FileSystem(
    name="btrfs",
    kind="btrfs",
    package="btrfs-progs",
    make=("mkfs.btrfs", "-q", "-f", "-K", "--mixed", "-m", "single", "-d", "single"),
    options="commit=300,nodiscard,max_inline=0",
    size=24 * _MIB,
)
"""It writes down what is synced and nothing else, where ext4 writes down all that was before."""
XFS = FileSystem(
    name="xfs",
    kind="xfs",
    package="xfsprogs",
    make=("mkfs.xfs", "-q", "-f", "-K"),
    options="nodiscard",
    size=300 * _MIB,
)
"""It makes no smaller ones.  What is not synced stays in memory for half a minute."""
OTHERS = (BTRFS, XFS)
"""What not every machine has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDisk:
    """A mounted file system, what it was made of, and the log of what happens below it."""

    root: Path
    server: LoggingServer
    initial: Content


def require(*systems: FileSystem) -> str:
    """Why no power cut can be made on this machine; empty: it can.

    Raises RuntimeError in CI where programs are missing: they could have been installed.
    """
    if os.geteuid():
        return "only root may mount a disk"
    if reason := _no_fuse() or why_no_mounts():
        return reason
    wanted = _PROGRAMS | {one.program: one.package for one in systems}
    missing = [program for program in wanted if shutil.which(program) is None]
    if missing:
        packages = ", ".join(wanted[program] for program in missing)
        reason = f"no {', '.join(missing)} on the PATH (Debian: {packages})"
        if os.environ.get("CI"):
            raise RuntimeError(f"{reason}; CI must have it")
        return reason
    return next(filter(None, map(_not_mounted, systems)), "")


def _not_mounted(system: FileSystem) -> str:
    """Try it: whether the kernel knows a file system is certain only once it is mounted."""
    with tempfile.TemporaryDirectory(prefix="meshc-power-", dir=memory()) as folder:
        file, root = Path(folder) / "file", Path(folder) / "root"
        root.mkdir()
        _formatted(file, system).save(file)
        try:
            with loop_device(file) as device, mounted(device, root, system.kind, system.options):
                return ""
        except OSError as error:
            return f"{system.kind} cannot be mounted: {error}"


def memory() -> Path | None:
    """Where disks are kept while they are tried; None: wherever temporary files go."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None


@contextlib.contextmanager
def logged_disk(
    folder: Path, system: FileSystem, content: Content | None = None
) -> Iterator[LoggedDisk]:
    """Mount a disk that logs, a new one unless it is given; all of it goes at the end."""
    initial = content or _formatted(folder / "initial", system)
    with contextlib.ExitStack() as held:
        server = held.enter_context(LoggingServer(folder / "nbd.sock", initial))
        file = held.enter_context(_as_file(server, folder / "disk"))
        device = held.enter_context(loop_device(file))
        root = folder / "root"
        root.mkdir()
        held.enter_context(mounted(device, root, system.kind, system.options))
        yield LoggedDisk(root=root, server=server, initial=initial)


def _no_fuse() -> str:
    try:
        os.close(os.open(_FUSE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"no file systems in user space: {error}"
    return ""


def _formatted(file: Path, system: FileSystem) -> Content:
    """Make a file system that has nothing left to do later, so that the log is the agent's."""
    with file.open("wb") as stream:
        stream.truncate(system.size)
    done = subprocess.run(
        [*system.make, file],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{system.program} failed: {done.stdout}")
    content = Content.read_from(file)
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
