"""Whenever a writer ends, a reader sees the whole old bundle or the whole new one."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from meshc.artifact.store import DirectoryStore
from meshc.artifact.write import BundleWriter
from meshc.diagnostics.errors import OutputError
from tests.artifact.bundles import NEW, OLD, Bundle, contents, seen_by_reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CALLS = ("mkdir", "open", "write", "fstat", "rename", "unlink", "rmdir")
MANY = 1000


class Killed(BaseException):
    """Ends a writer as a signal does; nothing in it may run any more."""


class FaultyOs:
    """Counts the calls that change the disk and lets one of them, or all from it on, fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.fail: Callable[[int, str], None] = lambda _number, _call: None
        for name in CALLS:
            self._wrap(monkeypatch, name)

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        original = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            self.fail(len(self.calls), name)
            return original(*arguments, **options)

        # Some functions ask whether they may be given a folder's descriptor.
        supports_dir_fd = original in os.supports_dir_fd
        monkeypatch.setattr(os, name, call)
        if supports_dir_fd:
            monkeypatch.setattr(os, "supports_dir_fd", {*os.supports_dir_fd, call})

    def kill_from(self, number: int) -> None:
        def fail(count: int, _call: str) -> None:
            if count >= number:
                raise Killed

        self.calls.clear()
        self.fail = fail

    def refuse(self, number: int, code: int) -> None:
        def fail(count: int, call: str) -> None:
            if count == number and call in ("mkdir", "open", "write", "rename"):
                raise OSError(code, os.strerror(code))

        self.calls.clear()
        self.fail = fail

    def behave(self) -> None:
        self.fail = lambda _number, _call: None


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    return FaultyOs(monkeypatch)


def test_a_new_folder_appears_whole(tmp_path: Path) -> None:
    OLD.write(tmp_path / "out")

    assert contents(tmp_path / "out") == {**OLD.files, "manifest.json": OLD.manifest}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_change_replaces_and_removes(tmp_path: Path) -> None:
    OLD.write(tmp_path)

    NEW.write(tmp_path)

    assert contents(tmp_path) == {**NEW.files, "manifest.json": NEW.manifest}
    assert not (tmp_path / "nodes" / "gone").exists()


def test_leaving_without_commit_leaves_everything_as_it_was(tmp_path: Path) -> None:
    OLD.write(tmp_path)
    before = contents(tmp_path)

    with BundleWriter(tmp_path) as writer:
        writer.stage("nodes/a/lds.json", b"half of a build")

    assert contents(tmp_path) == before


def test_files_that_were_not_staged_keep_inode_and_time(tmp_path: Path) -> None:
    OLD.write(tmp_path)
    path = tmp_path / "nodes" / "a" / "bootstrap.json"
    before = path.stat()

    NEW.write(tmp_path)

    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_staged_file_looks_the_same_when_it_is_in_its_place(tmp_path: Path) -> None:
    OLD.write(tmp_path)

    with BundleWriter(tmp_path) as writer:
        staged = writer.stage("nodes/a/lds.json", b"new")
        writer.commit(OLD.manifest)

    placed = (tmp_path / "nodes" / "a" / "lds.json").stat()
    assert (staged.st_ino, staged.st_mtime_ns, staged.st_size) == (
        placed.st_ino,
        placed.st_mtime_ns,
        placed.st_size,
    )


@pytest.mark.parametrize("before", [OLD, None], ids=["over an old one", "into a new folder"])
def test_killed_at_any_step_old_or_new_is_seen_and_the_next_build_heals(
    tmp_path: Path, faulty: FaultyOs, before: Bundle | None
) -> None:
    seen = []
    for number in range(1, MANY):
        out = tmp_path / str(number) / "out"
        out.parent.mkdir()
        if before is not None:
            before.write(out)
        faulty.kill_from(number)
        try:
            NEW.write(out)
        except Killed:
            faulty.behave()
        else:
            faulty.behave()
            break

        if out.exists():
            found = seen_by_reader(out)
            assert found in (OLD.seen, NEW.seen), faulty.calls
            seen.append(found)
        else:
            assert before is None
        NEW.write(out)

        assert seen_by_reader(out) == NEW.seen
        assert contents(out) == {**NEW.files, "manifest.json": NEW.manifest}
        assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert len(faulty.calls) < number  # the last round went through
    # A new folder appears with the very last step; a change becomes true somewhere in between.
    assert (OLD.seen in seen and NEW.seen in seen) == (before is not None)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_a_disk_that_refuses_any_step_is_reported_and_nothing_is_lost(
    tmp_path: Path, faulty: FaultyOs, code: int
) -> None:
    hints, messages = set(), set()
    for number in range(1, MANY):
        out = tmp_path / str(number) / "out"
        out.parent.mkdir()
        OLD.write(out)
        faulty.refuse(number, code)
        try:
            NEW.write(out)
        except OutputError as error:
            hints.add(error.hint)
            messages.add(error.message)
        faulty.behave()

        assert seen_by_reader(out) in (OLD.seen, NEW.seen), faulty.calls
        if len(faulty.calls) < number:
            break
        NEW.write(out)
        assert seen_by_reader(out) == NEW.seen
    assert all(os.strerror(code) in message for message in messages)
    assert len(hints) == 2  # before and after the change became the truth


def test_a_refused_build_into_a_new_folder_leaves_nothing(tmp_path: Path, faulty: FaultyOs) -> None:
    faulty.refuse(12, errno.ENOSPC)

    with pytest.raises(OutputError):
        OLD.write(tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


def test_an_unusable_folder_is_reported_and_not_locked_for_ever(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")

    for _ in range(2):
        with pytest.raises(OutputError, match="cannot write"):
            OLD.write(tmp_path / "out")

    (tmp_path / "out").unlink()
    OLD.write(tmp_path / "out")
    assert seen_by_reader(tmp_path / "out") == OLD.seen


def test_a_file_where_a_folder_must_be_is_removed(tmp_path: Path) -> None:
    OLD.write(tmp_path)
    (tmp_path / "nodes" / "come").write_text("in the way")

    NEW.write(tmp_path)

    assert seen_by_reader(tmp_path) == NEW.seen


WRITER = """
import sys
from pathlib import Path
from tests.artifact.bundles import NEW, OLD
out = Path(sys.argv[1])
while True:
    NEW.write(out)
    OLD.write(out)
"""


def started_writer(out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(out)])


def test_a_writer_that_is_really_killed_leaves_a_whole_bundle(tmp_path: Path) -> None:
    moments = random.Random(9)
    OLD.write(tmp_path)

    for _ in range(8):
        process = started_writer(tmp_path)
        time.sleep(0.15 + moments.random() / 20)
        process.send_signal(signal.SIGKILL)
        process.wait()

        assert seen_by_reader(tmp_path) in (OLD.seen, NEW.seen)
    NEW.write(tmp_path)
    assert contents(tmp_path) == {**NEW.files, "manifest.json": NEW.manifest}


def test_a_reader_beside_two_writers_sees_whole_bundles_only(tmp_path: Path) -> None:
    OLD.write(tmp_path)
    writers = [started_writer(tmp_path) for _ in range(2)]
    try:
        for _ in range(50):
            found = dict(DirectoryStore(tmp_path).node("a").files)
            assert found in (OLD.seen["a"], NEW.seen["a"])
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
