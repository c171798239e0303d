"""One agent for one target, for as long as it lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from typing import Self

from meshc.delivery.errors import DeliveryError

_NAME = ".agent.lock"


class TargetLock:
    """Holds a target, whatever state folder an agent uses; ends with the process.

    The lock is a file in the target that is made once and never removed: making it is no rename,
    so Envoy does not look at it.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._held: int | None = None
        self._identity: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def take(self) -> None:
        """Take the lock.

        Raises:
            DeliveryError: another agent holds it, or the target cannot be written to.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._target / _NAME, flags, 0o644)
        except OSError as error:
            raise DeliveryError(
                f'cannot write into "{self._target}": {error.strerror or error}',
                hint="the agent must own the directory that Envoy watches",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise DeliveryError(
                f'another agent has "{self._target}"' + (f": process {owner}" if owner else ""),
                hint="one agent a target; see: meshc agent status",
            ) from error
        with contextlib.suppress(OSError):  # only says who it is; a full disk must not matter
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._held = descriptor
        status = self._target.stat()
        self._identity = (status.st_dev, status.st_ino)

    def release(self) -> None:
        """Let go of the target."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def is_in_place(self) -> bool:
        """Whether the target is still the directory that was locked, and not one of its name."""
        try:
            status = self._target.stat()
        except OSError:
            return False
        return self._identity == (status.st_dev, status.st_ino)


def owner_of(target: Path) -> int | None:
    """Return the process that holds a target; None: nobody does."""
    try:
        descriptor = os.open(target / _NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdecimal() else 0
    finally:
        os.close(descriptor)
    return None


def check_place(target: Path) -> tuple[str, ...]:
    """Refuse a target that others could swap; returns what is doubtful about it.

    Raises:
        DeliveryError: some folder above it, or it, can be written by anybody, or is a stranger's.
    """
    notes = []
    place = Path(os.path.realpath(target))
    for folder in (place, *place.parents):
        status = folder.stat()
        is_sticky = bool(status.st_mode & stat.S_ISVTX) and folder != place
        if status.st_mode & stat.S_IWOTH and not is_sticky:
            raise DeliveryError(
                f'anybody may write into "{folder}", so anybody could swap Envoy\'s files',
                hint=f"chmod o-w {folder}",
            )
        if status.st_uid not in {0, os.geteuid()} and not is_sticky:
            raise DeliveryError(
                f'"{folder}" belongs to user {status.st_uid}, who could swap Envoy\'s files',
                hint="run the agent as the owner of its target",
            )
        if status.st_mode & stat.S_IWGRP and not is_sticky:
            notes.append(f'the group of "{folder}" may write into it')
    return tuple(notes)
