"""Folders that are no links: what is written, read back or removed below a root stays below it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from meshc.diagnostics.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER_MODE = 0o755
"""Whatever the umask allows, nobody else may write there."""


def check_root(root: Path) -> None:
    """Refuse a root that is a link itself: a checkout may bring one that leads anywhere.

    Raises:
        OutputError: it is one.
    """
    if root.is_symlink():
        raise link_error(root)


def check_folder(root: Path | str, path: str) -> bool:
    """Whether there is a folder at ``path`` below the root, each part of which is a real one.

    Raises:
        OutputError: a part of it is a link.
        OSError: it cannot be looked at.
    """
    place = str(root)
    for part in path.split("/"):
        place = f"{place}/{part}"
        try:
            mode = os.lstat(place).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        if stat.S_ISLNK(mode):
            raise link_error(place)
        if not stat.S_ISDIR(mode):
            return False
    return True


def make_folder(root: Path | str, path: str) -> None:
    """Make a folder below the root, and those above it; none of them may be a link.

    Raises:
        OutputError: a part of it is a link.
        OSError: it cannot be made.
    """
    try:
        os.mkdir(f"{root}/{path}", FOLDER_MODE)  # noqa: PTH102, ten thousand of them
    except FileNotFoundError:
        make_folder(root, path.rpartition("/")[0])
        os.mkdir(f"{root}/{path}", FOLDER_MODE)  # noqa: PTH102
    except FileExistsError:
        if not check_folder(root, path):
            raise
    else:
        check_folder(root, path)


def link_error(place: Path | str) -> OutputError:
    """Return what is said about a link where a folder should be."""
    return OutputError(
        f'"{place}" is a link, and meshc writes, reads back and removes nothing behind links',
        hint="replace it by a folder, or give the folder that it leads to",
    )
