"""The agent's user is neither root nor Envoy's, and its service sees no process but its own."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.control import Inbox, submit
from meshc.delivery.agent.inotify import envoy_user, room_of
from meshc.delivery.agent.render import render_status

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """What a service with ProtectProc=invisible sees: itself."""
    folder = tmp_path / "proc" / str(os.getpid())
    folder.mkdir(parents=True)
    (folder / "comm").write_text("python\n")
    (folder / "fd").mkdir()
    (folder / "fd" / "5").symlink_to("anon_inode:inotify")
    return folder.parent


@pytest.fixture
def limit(tmp_path: Path) -> Path:
    path = tmp_path / "max_user_instances"
    path.write_text("128\n")
    return path


def test_the_agent_does_not_take_its_own_user_for_that_of_an_envoy_it_cannot_see(
    proc: Path,
) -> None:
    assert envoy_user(proc) is None


def test_instances_that_cannot_be_seen_do_not_count_as_none_taken(proc: Path, limit: Path) -> None:
    room = room_of(envoy_user(proc), proc=proc, limit=limit)

    assert room is not None
    assert (room.limit, room.is_complete) == (128, False)


def test_the_status_does_not_claim_to_know_what_it_cannot_see(proc: Path, limit: Path) -> None:
    room = room_of(envoy_user(proc), proc=proc, limit=limit)
    status = json.loads(
        """{"summary": "OK", "state": "ok", "node": "n1", "desired": null, "delivered": null,
            "delivered_at": null, "accepted": {}, "since": 0, "updated": 0, "validation": "",
            "source": {"address": "s", "failures": 0}, "target": "t", "notes": [], "held": {},
            "envoy": {"up": true, "version": "1", "admin": "a"}, "subscriptions": 7,
            "quarantine": {}, "last_error": null}"""
    )

    text = render_status(status, is_running=True, room=room, now=0)

    assert "7 file subscriptions; of 128 inotify instances that a user may have" in text


def test_a_request_of_somebody_with_a_strict_umask_can_be_read_by_the_agent(tmp_path: Path) -> None:
    Inbox(tmp_path).prepare()
    before = os.umask(0o077)
    try:
        name = submit(tmp_path, "pause", reason="why not")
    finally:
        os.umask(before)

    assert (tmp_path / "control" / f"{name}.request").stat().st_mode & 0o777 == 0o644
    [request] = Inbox(tmp_path).take()
    assert (request.command, request.arguments) == ("pause", {"reason": "why not"})
