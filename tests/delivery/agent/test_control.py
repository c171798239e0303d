"""Requests of operators, and of whoever else can write into the agent's folder."""

from __future__ import annotations

import json
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.control import Inbox, Request, await_answer, submit
from meshc.delivery.errors import DeliveryError
from tests.delivery.live import until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    inbox = Inbox(tmp_path)
    inbox.prepare()
    return inbox


@pytest.fixture
def folder(tmp_path: Path, inbox: Inbox) -> Path:
    del inbox
    return tmp_path / "control"


def test_a_request_is_taken_once_with_its_arguments(inbox: Inbox, tmp_path: Path) -> None:
    name = submit(tmp_path, "rollback", generation="abc")

    assert inbox.take() == [Request(name, "rollback", {"generation": "abc"})]
    assert inbox.take() == []
    assert list((tmp_path / "control").iterdir()) == []


def test_requests_are_taken_in_the_order_in_which_they_came(inbox: Inbox, tmp_path: Path) -> None:
    names = [submit(tmp_path, command) for command in ("pause", "resume", "pause")]

    assert [one.name for one in inbox.take()] == names


def test_an_answer_reaches_the_one_who_asked(inbox: Inbox, tmp_path: Path) -> None:
    name = submit(tmp_path, "pause", reason="because")
    (request,) = inbox.take()

    threading.Timer(0.05, inbox.answer, (request,), {"ok": True, "text": "paused"}).start()
    answer = await_answer(tmp_path, name, 20.0)

    assert answer == {"ok": True, "text": "paused"}
    assert list((tmp_path / "control").iterdir()) == []


def test_a_request_that_nobody_takes_is_withdrawn(inbox: Inbox, tmp_path: Path) -> None:
    name = submit(tmp_path, "pause")

    with pytest.raises(DeliveryError, match="did not answer within 0 s"):
        await_answer(tmp_path, name, 0.05)

    assert inbox.take() == []


def test_without_a_folder_the_agent_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="cannot reach the agent"):
        submit(tmp_path / "nowhere", "pause")


def test_only_the_agents_user_may_write_requests(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"\xff\xfe\x00",
        b"null",
        b"5",
        b'"pause"',
        b"[]",
        b'["command"]',
        b"{}",
        b'{"command": "format-disk"}',
        b'{"command": ["pause"]}',
        b'{"command": {"pause": 1}}',
        b'{"command": null}',
        b"[" * 60_000,
        b'{"command": "pause", "reason": "' + b"x" * 1_000_000 + b'"}',
        b'{"command": "pause", "reason": ' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_no_request_is_thrown_away(inbox: Inbox, folder: Path, content: bytes) -> None:
    (folder / "1.request").write_bytes(content)

    assert inbox.take() == []
    assert list(folder.iterdir()) == []


def test_a_pipe_or_a_link_is_no_request_and_keeps_nobody_waiting(
    inbox: Inbox, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_text(json.dumps({"command": "pause"}))
    os.mkfifo(folder / "1.request")
    (folder / "2.request").symlink_to(other)

    assert inbox.take() == []
    assert list(folder.iterdir()) == []
    assert other.exists()


def test_a_folder_in_the_place_of_a_request_hinders_no_other(
    inbox: Inbox, folder: Path, tmp_path: Path
) -> None:
    (folder / "0.request").mkdir()
    submit(tmp_path, "pause")

    assert [one.command for one in inbox.take()] == ["pause"]


@pytest.mark.parametrize("name", ["x y", "\n", "é", "$(id)", "a" * 240, "..", "-rf"])
def test_an_odd_name_is_answered_under_that_name(inbox: Inbox, folder: Path, name: str) -> None:
    (folder / f"{name}.request").write_text('{"command": "resume"}')

    (request,) = inbox.take()
    inbox.answer(request, ok=True)

    assert [place.name for place in folder.iterdir()] == [f"{name}.answer"]


def test_an_answer_that_cannot_be_written_is_no_error(inbox: Inbox, folder: Path) -> None:
    folder.rmdir()

    inbox.answer(Request("1", "pause"), ok=True)

    assert inbox.take() == []


def test_what_nobody_fetched_is_cleared_away_when_it_is_old(inbox: Inbox, folder: Path) -> None:
    for name in ("1.answer", ".draft", "2.answer"):
        (folder / name).write_text("{}")
    for name in ("1.answer", ".draft"):
        os.utime(folder / name, (0, 0))

    inbox.take()

    assert [place.name for place in folder.iterdir()] == ["2.answer"]


def test_many_requests_at_once_are_all_taken(inbox: Inbox, tmp_path: Path) -> None:
    def ask() -> None:
        for _ in range(50):
            submit(tmp_path, "pause", reason="r")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    taken: list[Request] = []

    def are_all_taken() -> bool:
        taken.extend(inbox.take())
        return len(taken) >= 200

    for thread in threads:
        thread.start()
    until(are_all_taken, "all requests")
    for thread in threads:
        thread.join()

    assert len({one.name for one in taken}) == 200
    assert inbox.take() == []
