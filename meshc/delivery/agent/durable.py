"""Files that survive a power cut: written beside, synced, renamed, and the folder synced too."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NEW = ".new"
"""End of the name of a file that is still being written; such files mean nothing."""


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file by one rename; `sync_folder` then makes the rename last.

    Raises OSError; the file is the old one or the new one, never a mixture.
    """
    new = path.with_name(path.name + NEW)
    write_new(new, data, mode=mode)
    os.rename(new, path)  # noqa: PTH104


def write_new(name: Path | str, data: bytes, *, mode: int, within: int | None = None) -> None:
    """Write a file that nobody looks at yet, in the place of what a killed process left there.

    ``within`` is an open folder that a relative name starts from.  Raises OSError, and leaves no
    half-written file behind.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=within)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, mode, dir_fd=within)
    try:
        os.fchmod(descriptor, mode)  # the umask has taken its share
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=within)
        raise
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file; when this returns a power cut cannot bring the old one back."""
    write_file(path, data, mode=mode)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """Make a folder and those above it, with exact modes, to last."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, mode)  # noqa: PTH102
        os.chmod(folder, mode)  # noqa: PTH101
        sync_folder(folder.parent)
