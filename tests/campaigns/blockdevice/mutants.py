"""Mistakes about power cuts that could be in the agent; each is made on purpose, and is found."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from meshc.delivery.agent import durable, ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def _patch(module: ModuleType, name: str, function: object) -> None:
    setattr(module, name, function)


def _sync_only(is_synced: Callable[[int], bool]) -> None:
    really = os.fsync

    def fsync(descriptor: int) -> None:
        if is_synced(descriptor):
            really(descriptor)

    _patch(os, "fsync", fsync)


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def skip_the_folder_fsync() -> None:
    """Rename, and leave it to the kernel when that is on the disk."""
    _sync_only(_is_file)


def skip_the_file_fsync() -> None:
    """Rename what may still be in memory only."""
    _sync_only(lambda descriptor: not _is_file(descriptor))


def forget_the_targets_folders() -> None:
    """Sync every file that is delivered, and not that it has got its name."""

    def is_synced(descriptor: int) -> bool:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        return _is_file(descriptor) or "target" not in place.parts

    _sync_only(is_synced)


def forget_the_ledgers_folder() -> None:
    """Sync what the ledger says, and not that it has got its name."""

    def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        durable.write_file(path, data, mode=mode)

    _patch(ledger, "write_durably", write)


MUTANTS: dict[str, Callable[[], None]] = {
    "skip the folder fsync": skip_the_folder_fsync,
    "skip the file fsync": skip_the_file_fsync,
    "forget the target's folders": forget_the_targets_folders,
    "forget the ledger's folder": forget_the_ledgers_folder,
}
