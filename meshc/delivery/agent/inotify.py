"""Count file subscriptions: Envoy takes an inotify instance for each, and aborts without one.

The kernel counts per user, over all processes, so what others of that user hold matters too.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.delivery.agent.configuration import Configuration

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
_PROC = Path("/proc")
_MARK = "anon_inode:inotify"
_RESERVE = 2
"""Left for whoever comes next, such as this agent's own watch."""
_LOOK_EVERY_S = 100.0
_BELIEVED_S = 120.0
_FRESH_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Inotify instances of one user: how many there may be, how many are held.

    ``used`` counts processes that this one may look into; ``is_complete`` says that these are
    all of the user's.
    """

    limit: int
    used: int
    is_complete: bool


def subscriptions_of(there: Configuration) -> int:
    """Count the subscriptions of an Envoy that runs this configuration."""
    return sum(len(found) for found in there.watchers(there.clusters, there.listeners).values())


def new_subscriptions(old: Configuration, new: Configuration) -> int:
    """Count what an Envoy opens while it goes from one to the other; old ones stay for a while."""

    def names(there: Configuration) -> set[tuple[str, str]]:
        watchers = there.watchers(there.clusters, there.listeners)
        return {(path, str(name)) for path, found in watchers.items() for name in found}

    return len(names(new) - names(old))


def instances_limit(limit: Path = _LIMIT) -> int | None:
    """Return how many instances a user may have; None where the system does not tell."""
    try:
        return int(limit.read_text())
    except (OSError, ValueError):
        return None


def room_of(uid: int | None, *, proc: Path = _PROC, limit: Path = _LIMIT) -> Room | None:
    """Look at a user's instances; None where the system does not tell its limit."""
    most = instances_limit(limit)
    if most is None:
        return None
    if uid is None:
        return Room(limit=most, used=0, is_complete=False)
    used = 0
    is_complete = True
    for entry in os.scandir(proc):
        if not entry.name.isdecimal():
            continue
        try:
            if entry.stat().st_uid != uid:
                continue
            used += _instances(f"{entry.path}/fd")
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has just ended.
        except OSError:
            is_complete = False
    return Room(limit=most, used=used, is_complete=is_complete)


def _instances(folder: str) -> int:
    count = 0
    for name in os.listdir(folder):  # noqa: PTH208, thousands of them
        try:
            count += os.readlink(f"{folder}/{name}") == _MARK  # noqa: PTH115
        except FileNotFoundError:
            continue
    return count


def envoy_user(proc: Path = _PROC, *, target: Path | None = None) -> int | None:
    """Return the user of the Envoy on this host; None where none is seen.

    Of several it is the one that watches the target, or was started with a file in it; where that
    cannot be told, the first.  A hardened service (ProtectProc=invisible) sees its own processes
    only.
    """
    found = list(_envoys(proc))
    if target is not None and len(found) > 1:
        found.sort(key=lambda one: not _runs_from(one[0], target))
    return found[0][1] if found else None


def _envoys(proc: Path) -> Iterator[tuple[Path, int]]:
    """Yield the folder and the user of each process that is named like Envoy."""
    for name in filter(str.isdecimal, os.listdir(proc)):  # noqa: PTH208, hundreds of them
        try:
            if _content(f"{proc}/{name}/comm") == b"envoy\n":
                yield proc / name, os.stat(f"{proc}/{name}").st_uid  # noqa: PTH116
        except OSError:
            continue


def _content(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 64)
    finally:
        os.close(descriptor)


def _runs_from(process: Path, target: Path) -> bool:
    """Whether a process was started with a file in the target, or watches it."""
    place = os.path.realpath(target)
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        folder = os.readlink(process / "cwd")  # noqa: PTH115, also of a folder that is gone
    except OSError:
        words, folder = [], ""
    for word in map(os.fsdecode, words):
        named = os.path.join(folder, word.rpartition("=")[2])  # noqa: PTH118, of any kind
        if os.path.realpath(named).startswith(f"{place}/"):
            return True
    with contextlib.suppress(OSError):
        mark = f" ino:{target.stat().st_ino:x} "
        for name in os.listdir(process / "fdinfo"):  # noqa: PTH208, hundreds of them
            with (process / "fdinfo" / name).open() as stream:
                if any(line.startswith("inotify ") and mark in line for line in stream):
                    return True
    return False


def check_room(old: Configuration, new: Configuration, *, target: Path | None = None) -> None:
    """Refuse what would make the running Envoy abort.

    Raises:
        DeliveryError: there are not enough inotify instances; nothing has been touched.
    """
    more = new_subscriptions(old, new)
    if more:
        _check(old, more, _seen_now(target))


def _check(old: Configuration, more: int, room: Room | None) -> None:
    if room is None:
        return
    held = _held(room, old)
    if held + more + _RESERVE > room.limit:
        raise DeliveryError(
            f"Envoy would watch {more} more files, each takes an inotify instance, and "
            f"{held} of this user's {room.limit} are taken: a running Envoy would abort",
            hint=f"sysctl fs.inotify.max_user_instances={_next_limit(held + more)}, and write it "
            "into /etc/sysctl.d",
        )


class RoomMemory:
    """How much room there was when last looked: a look takes milliseconds that a delivery misses.

    It is believed for two minutes, and only where half of the limit would still be free; a look
    for a delivery that follows at once is believed in any case.
    """

    def __init__(self, target: Path | None = None) -> None:
        self._target = target
        self._room: Room | None = None
        self._looked_at = -math.inf
        self._looked_ahead_at = -math.inf

    def refresh(self) -> None:
        """Look now and then, while nobody waits."""
        if time.monotonic() > self._looked_at + _LOOK_EVERY_S:
            self._look()

    def look_ahead(self, old: Configuration, new: Configuration) -> None:
        """Look where a check that follows at once would have to."""
        more = new_subscriptions(old, new)
        if more and not self._is_enough_for(old, more):
            self._look()
            self._looked_ahead_at = self._looked_at

    def check(self, old: Configuration, new: Configuration) -> None:
        """Refuse what would make the running Envoy abort, as `check_room` does.

        Raises:
            DeliveryError: there are not enough inotify instances; nothing has been touched.
        """
        more = new_subscriptions(old, new)
        if not more:
            return
        is_ahead = time.monotonic() <= self._looked_ahead_at + _FRESH_S
        self._looked_ahead_at = -math.inf
        if not self._is_enough_for(old, more) and not is_ahead:
            self._look()
        room = self._room
        _check(old, more, room)
        if room is not None:
            self._room = replace(room, used=room.used + more)

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        self._room = _seen_now(self._target)

    def _is_enough_for(self, old: Configuration, more: int) -> bool:
        is_believed = time.monotonic() <= self._looked_at + _BELIEVED_S
        return is_believed and self._room is not None and _is_ample(self._room, old, more)


def _is_ample(room: Room, old: Configuration, more: int) -> bool:
    """Whether half of the limit would still be free.

    What cannot be seen is no reason to look again: another look would not see it either.
    """
    return 2 * (_held(room, old) + more + _RESERVE) <= room.limit


def _held(room: Room, old: Configuration) -> int:
    """Return how many instances are held, as far as can be told: at least this Envoy's own."""
    return max(room.used, 0 if room.is_complete else subscriptions_of(old))


def _seen_now(target: Path | None) -> Room | None:
    """Look at the instances of Envoy's user; None where nobody can tell."""
    try:
        return room_of(envoy_user(target=target))
    except OSError:
        return None


def _next_limit(needed: int) -> int:
    limit = 512
    while limit < 2 * needed:
        limit *= 2
    return limit
