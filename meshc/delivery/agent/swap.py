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

from meshc.artifact.layout import NODE_FILES, SERVICES
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAGING = ".meshc"
_FILE_MODE = 0o644  # Envoy may run as another user; what it cannot read it does not retry.
_FOLDER_MODE = 0o755
_SHARED_DEPTH = 3


def read_files(directory: Path) -> dict[str, bytes]:
    """Read all files of a node that lie in its directory: its own three and the shared ones."""
    with _as_delivery_error(directory):
        found = [directory / name for name in NODE_FILES]
        found += sorted((directory / SERVICES).glob("*/*.json"))
        return {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in found
            if path.is_file()
        }


@contextlib.contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Keep other deliveries out of a directory, and leave nothing half-written behind."""
    with _as_delivery_error(directory):
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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

    Raises:
        DeliveryError: the disk refuses, or something that is no plain file is in the way.
    """
    _check(path)
    target = directory / path
    with _as_delivery_error(target):
        _make_folder(directory, target.parent)
        _refuse_special(target)
        staged = _stage(directory, data)
        try:
            staged.rename(target)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)


def remove_file(directory: Path, path: str) -> None:
    """Remove a file; its folder stays, because a watch on it would not survive a new one."""
    _check(path)
    with _as_delivery_error(directory / path):
        (directory / path).unlink(missing_ok=True)


def _stage(directory: Path, data: bytes) -> Path:
    staging = directory / STAGING
    staging.mkdir(mode=0o700, exist_ok=True)
    staged = staging / "next"
    staged.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(staged, flags, _FILE_MODE)
    try:
        os.fchmod(descriptor, _FILE_MODE)  # the umask has taken its share
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return staged


def _make_folder(directory: Path, folder: Path) -> None:
    if folder == directory or folder.is_dir():
        return
    _make_folder(directory, folder.parent)
    folder.mkdir()
    folder.chmod(_FOLDER_MODE)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_special(target: Path) -> None:
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise DeliveryError(
            f'"{target}" is not a plain file, so it is not replaced',
            hint="move it away; meshc writes through no link",
        )


def _check(path: str) -> None:
    """Refuse any name outside a node's own layout, whatever a bundle says."""
    parts = path.split("/")
    is_shared = (
        len(parts) == _SHARED_DEPTH
        and parts[0] == SERVICES
        and all(part and not part.startswith(".") and "\0" not in part for part in parts)
    )
    if path not in NODE_FILES and not is_shared:
        raise DeliveryError(f'"{path}" is no file of a node')


@contextlib.contextmanager
def _as_delivery_error(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = None
        if error.errno in {errno.EXDEV, errno.EBUSY}:
            hint = "the whole directory must lie on one filesystem, without mounts in it"
        raise DeliveryError(
            f'cannot write "{target}": {error.strerror or error}', hint=hint
        ) from error
