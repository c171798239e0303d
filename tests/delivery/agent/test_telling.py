"""What the agent tells the service manager, the log and the history."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.history import History, read_history
from meshc.delivery.log import Log
from meshc.delivery.notify import notify, watchdog_interval_s

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = (
    "two\nlines",
    "carriage\rreturn",
    "\x1b[2J\x1b[31mred",
    "level=error event=forged",
    '"quoted" \\ and = signs',
    "nul\0byte",
    "\x85next line\u2028and separator",
    "\u202eright to left",
    "lone \ud800 surrogate \udcff",
    "",
    "x" * 100_000,
)
_FORGED = re.compile(r'(?:^| )event=(\S+|".*?")(?= |$)')


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The service manager's end."""
    name = f"@meshc-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name[1:] if name[0] == "@" else name)
        receiver.settimeout(20)
        yield receiver


def test_the_service_manager_hears_facts_in_one_message(manager: socket.socket) -> None:
    notify(READY="1", STATUS="OK: all is well")

    assert manager.recv(4096) == b"READY=1\nSTATUS=OK: all is well"


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_adds_a_fact_to_a_message(manager: socket.socket, text: str) -> None:
    notify(STATUS=f"{text}\nREADY=1")

    message = manager.recv(1_000_000)
    assert message.startswith(b"STATUS=")
    assert b"\n" not in message


@pytest.mark.parametrize("address", ["", "relative/path", "/nowhere/at/all", "@nobody", "/" * 200])
def test_without_a_service_manager_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)

    notify(READY="1")  # must not raise


def test_a_service_manager_that_does_not_read_keeps_nobody_waiting(
    manager: socket.socket,
) -> None:
    for _ in range(2_000):
        notify(WATCHDOG="1")

    assert manager.recv(64) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("limit", "pid", "wanted"),
    [
        ("30000000", None, 15.0),
        ("30000000", "own", 15.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("-5", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_fed_twice_within_its_limit(
    monkeypatch: pytest.MonkeyPatch, limit: str | None, pid: str | None, wanted: float | None
) -> None:
    told = str(os.getpid()) if pid == "own" else pid
    for name, value in (("WATCHDOG_USEC", limit), ("WATCHDOG_PID", told)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    assert watchdog_interval_s() == wanted


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("is_json", [False, True])
def test_an_event_is_one_printable_line_whatever_is_in_it(text: str, *, is_json: bool) -> None:
    stream = io.StringIO()

    Log(stream, is_json=is_json).warn("rejected", reason=text, generation="abc")

    line = stream.getvalue()
    assert line.endswith("\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    assert len(line) < 20_000


@pytest.mark.parametrize("text", HOSTILE)
def test_a_value_cannot_forge_another_pair(text: str) -> None:
    stream = io.StringIO()

    Log(stream).error("failed", reason=text)

    pairs = dict(re.findall(r'(\w+)=((?:"(?:[^"\\]|\\.)*")|\S+)', stream.getvalue()))
    assert set(pairs) == {"time", "level", "event", "reason"}
    assert (pairs["level"], pairs["event"]) == ("error", "failed")


def test_json_lines_can_be_read_back() -> None:
    stream = io.StringIO()

    Log(stream, is_json=True).info("delivered", seconds=1.23456789, confirmed=True, hint=None)

    entry = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert entry == {"level": "info", "event": "delivered", "seconds": 1.2346, "confirmed": True}


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    is_past = False

    with contextlib.suppress(BrokenPipeError), os.fdopen(write, "w") as stream:
        Log(stream).info("started")
        is_past = True

    assert is_past


def test_a_log_that_was_closed_stops_nothing() -> None:
    closed = io.StringIO()
    closed.close()

    Log(closed).info("started")  # must not raise


def test_the_history_gives_the_newest_events_last(tmp_path: Path) -> None:
    history = History(tmp_path)
    for number in range(5):
        history.add("delivered", generation=str(number))

    assert [one["generation"] for one in read_history(tmp_path, 3)] == ["2", "3", "4"]


def test_the_history_stays_small_and_keeps_the_newest(tmp_path: Path) -> None:
    history = History(tmp_path)
    for number in range(1_000):
        history.add("delivered", generation=str(number), reason="x" * 1_000)

    size = (tmp_path / "history.jsonl").stat().st_size
    found = read_history(tmp_path, 10_000)
    assert size < 300_000
    numbers = [int(one["generation"]) for one in found]
    assert numbers == list(range(numbers[0], 1_000))
    assert len(numbers) > 100


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"\0" * 100, id="zeros"),
        pytest.param(b'{"at": 2.0, "wh', id="a torn line"),
        pytest.param(b"{\n", id="no JSON"),
        pytest.param(b"[]\nnull\n5\n", id="no objects"),
        pytest.param(b'{"at": 1}\n', id="no event"),
        pytest.param(b"[" * 100_000 + b"\n", id="too deep"),
        pytest.param(b"\xff\n", id="no text"),
    ],
)
def test_a_damaged_history_loses_what_is_damaged_and_nothing_else(
    tmp_path: Path, damage: bytes
) -> None:
    place = tmp_path / "history.jsonl"
    good = b'{"at": 1.0, "what": "delivered"}\n'
    place.write_bytes(good + damage)

    History(tmp_path).add("rejected")

    found = [one["what"] for one in read_history(tmp_path, 10)]
    assert found[0] == "delivered"
    assert found[1:] == ["rejected"]


def test_a_history_that_cannot_be_written_or_read_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").mkdir()

    History(tmp_path).add("delivered")

    assert read_history(tmp_path, 5) == []


def test_the_history_is_not_written_through_a_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (tmp_path / "history.jsonl").symlink_to(other)

    History(tmp_path).add("delivered")

    assert other.read_bytes() == b"mine"
