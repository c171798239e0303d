"""Replace one file at once: whoever reads sees the old bytes or the new ones, never a mixture.

Envoy watches the directory of each file for renames.  New bytes are written in a folder of their
own beside, so that the only thing that ever happens in a watched directory is the one rename;
writing there would wake Envoy for nothing and fill its event queue.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from typing import TYPE_CHECKING

from meshc.artifact.layout import NODE_FILES, SERVICES, is_host_path
from meshc.delivery.agent.durable import write_new
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAGING = ".meshc"
_STAGED = "next"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO}
_FILE_MODE = 0o644  # Envoy may run as another user; what it cannot read it does not retry.
_FOLDER_MODE = 0o755


def read_files(directory: Path) -> dict[str, bytes]:
    """Read all files of a node that lie in its directory: its own three and the shared ones."""
    root = f"{directory}/"
    with _as_delivery_error(directory):
        found = {path: _content(root + path) for path in (*NODE_FILES, *_shared_files(root))}
    return {path: data for path, data in found.items() if data is not None}


def _shared_files(root: str) -> Iterator[str]:
    for folder in _names_in(root + SERVICES):
        place = f"{SERVICES}/{folder}"
        paths = (f"{place}/{name}" for name in _names_in(root + place))
        yield from (path for path in paths if is_host_path(path))


def _names_in(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208, called at every delivery for all folders
    except (FileNotFoundError, NotADirectoryError):
        return []


def _content(path: str) -> bytes | None:
    """Return what a plain file holds; None where there is none, or it is no plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as stream:
            return stream.read()
    finally:
        os.close(descriptor)


def file_at(directory: Path, path: str) -> bytes | None:
    """Return what lies at a path; None: nothing, and no bytes where that cannot be read."""
    try:
        return (directory / path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return b""


@contextlib.contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Keep other deliveries out of a directory, and leave nothing half-written behind."""
    with _as_delivery_error(directory):
        held = os.open(directory, _FOLDER)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DeliveryError(
                f'another delivery into "{directory}" is running',
                hint="wait for it, or end it",
            ) from error
        shutil.rmtree(directory / STAGING, ignore_errors=True)  # of one that was killed
        yield
    finally:
        shutil.rmtree(directory / STAGING, ignore_errors=True)
        os.close(held)


def put_file(directory: Path, path: str, data: bytes) -> None:
    """Replace or create a file below the directory by one rename, durably.

    Folders are held open from the directory down, so that whoever swaps one of them for a link
    meanwhile cannot lead a write out of it.

    Raises:
        DeliveryError: the disk refuses, or something that is no plain file is in the way.
    """
    _check(path)
    target = directory / path
    with _as_delivery_error(target), contextlib.ExitStack() as held:
        top = _held(held, directory, _FOLDER)
        folder = top
        for name in path.split("/")[:-1]:
            folder = _inner(held, folder, name)
        _refuse_special(folder, target)
        staging = _stage(held, top, data)
        try:
            os.rename(_STAGED, target.name, src_dir_fd=staging, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(_STAGED, dir_fd=staging)
            raise
        os.fsync(folder)


def remove_file(directory: Path, path: str) -> None:
    """Remove a file; its folder stays, because a watch on it would not survive a new one."""
    _check(path)
    with _as_delivery_error(directory / path), contextlib.ExitStack() as held:
        folder = _held(held, directory, _FOLDER)
        with contextlib.suppress(FileNotFoundError):
            for name in path.split("/")[:-1]:
                folder = _held(held, name, _FOLDER | os.O_NOFOLLOW, within=folder)
            os.unlink(path.rpartition("/")[2], dir_fd=folder)


def drop_folder(directory: Path, path: str) -> None:
    """Remove the folder that a file of a service was in, unless something else is in it."""
    _check(path)
    *above, name, _ = path.split("/")
    with contextlib.suppress(OSError), contextlib.ExitStack() as held:
        folder = _held(held, directory, _FOLDER)
        for one in above:
            folder = _held(held, one, _FOLDER | os.O_NOFOLLOW, within=folder)
        os.rmdir(name, dir_fd=folder)


def _stage(held: contextlib.ExitStack, top: int, data: bytes) -> int:
    """Write the bytes down beside what is watched; returns the folder in which they lie."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(STAGING, 0o700, dir_fd=top)
    staging = _held(held, STAGING, _FOLDER | os.O_NOFOLLOW, within=top)
    write_new(_STAGED, data, mode=_FILE_MODE, within=staging)
    return staging


def _inner(held: contextlib.ExitStack, parent: int, name: str) -> int:
    """Open a folder in another one, and make it where it is missing; a link is not followed."""
    try:
        return _held(held, name, _FOLDER | os.O_NOFOLLOW, within=parent)
    except FileNotFoundError:
        os.mkdir(name, dir_fd=parent)
    folder = _held(held, name, _FOLDER | os.O_NOFOLLOW, within=parent)
    os.fchmod(folder, _FOLDER_MODE)
    os.fsync(parent)
    return folder


def _held(
    held: contextlib.ExitStack, name: Path | str, flags: int, *, within: int | None = None
) -> int:
    descriptor = os.open(name, flags, dir_fd=within)
    held.callback(os.close, descriptor)
    return descriptor


def _refuse_special(folder: int, target: Path) -> None:
    try:
        mode = os.stat(target.name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise DeliveryError(
            f'"{target}" is not a plain file, so it is not replaced',
            hint="move it away; meshc writes through no link",
        )


def _check(path: str) -> None:
    """Refuse any name outside a node's own layout, whatever a bundle says."""
    if not is_host_path(path):
        raise DeliveryError(f'"{path}" is no file of a node')


@contextlib.contextmanager
def _as_delivery_error(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = None
        if error.errno in {errno.EXDEV, errno.EBUSY}:
            hint = "the whole directory must lie on one filesystem, without mounts in it"
        elif error.errno in {errno.ELOOP, errno.ENOTDIR}:
            hint = "move away what is no folder there; meshc writes through no link"
        raise DeliveryError(
            f'cannot write "{target}": {error.strerror or error}', hint=hint
        ) from error
