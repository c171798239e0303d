"""Counting inotify instances: Envoy takes one for each file, and aborts without."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent import inotify
from meshc.delivery.agent.configuration import read_configuration
from meshc.delivery.agent.inotify import (
    Room,
    RoomMemory,
    check_room,
    envoy_user,
    instances_limit,
    new_subscriptions,
    room_of,
    subscriptions_of,
)
from meshc.delivery.errors import DeliveryError
from tests.delivery.agent.resident import numbered
from tests.delivery.node_files import http_listener, node_files, routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.delivery.agent.configuration import Configuration

_HELD = 7
_STRANGER = 54321
_AS_STRANGER = f"""
import os, sys
from pathlib import Path
from meshc.delivery.agent.inotify import room_of
os.setgid({_STRANGER}); os.setuid({_STRANGER})
room = room_of(0)
print(room.used, room.is_complete)
"""


def configuration(*services: str) -> Configuration:
    return read_configuration(numbered(1, services=services), origin="a test")


class Proc:
    """A folder like /proc, with processes that hold what a test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "proc"
        self.limit = folder / "max_user_instances"
        self.limit.write_text("128\n")
        for name in ("self", "sys", "12a"):
            (self.folder / name / "fd").mkdir(parents=True)

    def process(self, pid: int, *held: str, name: str = "envoy") -> Path:
        place = self.folder / str(pid)
        (place / "fd").mkdir(parents=True)
        (place / "comm").write_text(f"{name}\n")
        for number, kind in enumerate(held):
            (place / "fd" / str(number)).symlink_to(kind)
        return place

    def room(self) -> Room:
        found = room_of(os.geteuid(), proc=self.folder, limit=self.limit)
        assert found is not None
        return found


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


INSTANCE = "anon_inode:inotify"


def test_instances_of_all_processes_are_counted(proc: Proc) -> None:
    proc.process(1, INSTANCE, "/dev/null", INSTANCE)
    proc.process(2, "socket:[1]", "anon_inode:[eventpoll]")
    proc.process(30, INSTANCE)

    assert proc.room() == Room(limit=128, used=3, is_complete=True)


def test_a_process_that_has_just_ended_is_none(proc: Proc) -> None:
    proc.process(1, INSTANCE)
    (proc.folder / "2").mkdir()  # its descriptors are gone already

    assert proc.room() == Room(limit=128, used=1, is_complete=True)


def test_processes_of_others_do_not_count(proc: Proc) -> None:
    proc.process(1, INSTANCE)

    assert room_of(_STRANGER, proc=proc.folder, limit=proc.limit) == Room(
        limit=128, used=0, is_complete=True
    )


def test_a_user_that_is_not_known_leaves_the_count_open(proc: Proc) -> None:
    assert room_of(None, proc=proc.folder, limit=proc.limit) == Room(
        limit=128, used=0, is_complete=False
    )


@pytest.mark.parametrize("text", [None, "", "many"])
def test_without_a_limit_nobody_can_tell(proc: Proc, text: str | None) -> None:
    proc.limit.unlink()
    if text is not None:
        proc.limit.write_text(text)

    assert room_of(0, proc=proc.folder, limit=proc.limit) is None
    assert instances_limit(proc.limit) is None


def test_the_user_of_envoy_is_found_by_its_name(proc: Proc) -> None:
    proc.process(1, name="init")
    before = envoy_user(proc.folder)
    proc.process(2, name="envoy")

    assert before is None
    assert envoy_user(proc.folder) == os.geteuid()


@pytest.fixture
def held() -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptors = [libc.inotify_init1(os.O_CLOEXEC) for _ in range(_HELD)]
    assert min(descriptors) > 0
    yield
    for descriptor in descriptors:
        os.close(descriptor)


def own() -> int:
    return inotify._instances("/proc/self/fd")


@pytest.mark.usefixtures("held")
def test_real_instances_are_seen() -> None:
    """Others of this user come and go, so only the least can be said of all of them."""
    room = room_of(os.geteuid())

    assert own() == _HELD
    assert room is not None
    assert room.used >= _HELD
    assert room.limit == int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a stranger")
def test_who_may_not_look_into_a_users_processes_knows_that_the_count_is_open() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AS_STRANGER], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["0", "False"]


def test_an_envoy_watches_its_two_lists_and_every_file_of_endpoints_and_routes() -> None:
    files = node_files(
        listeners=[http_listener("out", ("127.0.44.7", 80), "app")],
        clusters=[],
        shared={"app/rds-outbound.json": routes("1", "outbound/app", "app")},
    )

    assert subscriptions_of(configuration("a", "b", "c")) == 2 + 3
    assert subscriptions_of(read_configuration(files, origin="a test")) == 2 + 1


def test_what_is_opened_on_the_way_counts_although_old_files_are_let_go() -> None:
    assert new_subscriptions(configuration("a", "b"), configuration("c", "d", "e")) == 3
    assert new_subscriptions(configuration("a", "b"), configuration("a")) == 0


def room(monkeypatch: pytest.MonkeyPatch, found: Room | None) -> None:
    monkeypatch.setattr(inotify, "room_of", lambda _user: found)


@pytest.mark.parametrize(
    ("used", "is_refused"), [(0, False), (123, False), (124, True), (128, True)]
)
def test_what_would_make_envoy_abort_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, used: int, *, is_refused: bool
) -> None:
    """Three more files, and two left for others."""
    room(monkeypatch, Room(limit=128, used=used, is_complete=True))
    old, new = configuration("a"), configuration("a", "b", "c", "d")

    if not is_refused:
        check_room(old, new)
        return
    with pytest.raises(DeliveryError, match=f"3 more files.*{used} of this user's 128") as caught:
        check_room(old, new)

    assert "fs.inotify.max_user_instances=512" in str(caught.value.hint)


def test_where_the_count_is_open_at_least_what_this_envoy_holds_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room(monkeypatch, Room(limit=16, used=0, is_complete=False))
    old = configuration(*(f"s{number}" for number in range(11)))  # 13 of them are watched

    check_room(old, configuration(*(f"s{number}" for number in range(12))))
    with pytest.raises(DeliveryError, match="13 of this user's 16"):
        check_room(old, configuration(*(f"s{number}" for number in range(13))))


def test_what_opens_nothing_new_is_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    room(monkeypatch, Room(limit=1, used=1, is_complete=True))

    check_room(configuration("a", "b"), configuration("a"))


def test_where_nobody_can_tell_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    room(monkeypatch, None)

    check_room(configuration("a"), configuration("a", "b"))


class Looks:
    """Counts how often anybody looks, and has them find this."""

    def __init__(self, patch: pytest.MonkeyPatch, found: Room) -> None:
        self.count = 0
        self.found = found
        patch.setattr(inotify, "room_of", self._room_of)

    def _room_of(self, _user: int | None) -> Room:
        self.count += 1
        return self.found


def test_where_there_was_ample_room_a_delivery_does_not_look_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch, Room(limit=128, used=20, is_complete=True))
    memory = RoomMemory()

    memory.refresh()
    memory.check(configuration("a"), configuration("a", "b"))
    memory.check(configuration("a", "b"), configuration("a", "b", "c"))

    assert looks.count == 1


def test_what_was_opened_since_a_look_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch, Room(limit=128, used=60, is_complete=True))
    memory = RoomMemory()
    memory.refresh()

    memory.check(configuration("a"), configuration("a", "b", "c"))  # 64 with the reserve
    memory.check(configuration("a"), configuration("a", "d"))

    assert looks.count == 2


@pytest.mark.parametrize(
    ("seen", "of_envoy"),
    [
        (Room(limit=128, used=90, is_complete=True), 1),
        (Room(limit=128, used=20, is_complete=False), 60),
    ],
    ids=["little room", "not all seen, and Envoy has many"],
)
def test_where_room_was_not_ample_a_delivery_looks_again_and_is_refused(
    monkeypatch: pytest.MonkeyPatch, seen: Room, of_envoy: int
) -> None:
    looks = Looks(monkeypatch, seen)
    memory = RoomMemory()
    memory.refresh()
    looks.found = Room(limit=128, used=128, is_complete=True)
    old = [f"s{number}" for number in range(of_envoy)]

    with pytest.raises(DeliveryError, match="would abort"):
        memory.check(configuration(*old), configuration(*old, "new"))

    assert looks.count == 2


def test_what_cannot_be_seen_is_no_reason_to_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch, Room(limit=128, used=0, is_complete=False))
    memory = RoomMemory()
    memory.refresh()

    memory.check(configuration("a"), configuration("a", "b"))

    assert looks.count == 1


def test_a_look_for_a_delivery_that_follows_at_once_is_not_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch, Room(limit=128, used=90, is_complete=True))
    memory = RoomMemory()
    memory.refresh()

    memory.look_ahead(configuration("a"), configuration("a", "b"))
    memory.check(configuration("a"), configuration("a", "b"))
    memory.check(configuration("a", "b"), configuration("a", "b", "c"))

    assert looks.count == 3


def test_a_look_for_a_delivery_that_came_late_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch, Room(limit=128, used=90, is_complete=True))
    memory = RoomMemory()
    memory.look_ahead(configuration("a"), configuration("a", "b"))
    looks.found = Room(limit=128, used=128, is_complete=True)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1.1)

    with pytest.raises(DeliveryError, match="would abort"):
        memory.check(configuration("a"), configuration("a", "b"))


def test_nobody_looks_ahead_for_a_delivery_that_needs_no_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch, Room(limit=128, used=20, is_complete=True))
    memory = RoomMemory()
    memory.look_ahead(configuration("a", "b"), configuration("a"))
    memory.refresh()

    memory.look_ahead(configuration("a"), configuration("a", "b"))

    assert looks.count == 1


def test_an_old_look_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch, Room(limit=128, used=20, is_complete=True))
    memory = RoomMemory()
    memory.refresh()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 121)

    memory.check(configuration("a"), configuration("a", "b"))

    assert looks.count == 2
