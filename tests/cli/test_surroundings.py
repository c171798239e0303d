"""What lies around a build: users without a home, a generous umask, locks of others."""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
from typing import TYPE_CHECKING

import pytest

from meshc.artifact import locks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import User


@pytest.fixture
def _no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of a container: no variable, and no entry in the list of users."""

    def nobody(_user: int) -> None:
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.fixture
def _generous() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _modes(folder: Path) -> dict[str, int]:
    """What others may do with everything in a folder."""
    return {
        path.relative_to(folder).as_posix(): stat.S_IMODE(path.lstat().st_mode) & 0o022
        for path in (folder, *folder.rglob("*"))
    }


@pytest.mark.usefixtures("_no_home")
def test_a_user_without_a_home_builds_without_a_cache(user: User) -> None:
    for command in ("build", "check"):
        answer = user.run(command)

        assert (answer.code, answer.err) == (0, "")
    assert user.run("serve", "status").code == 3


@pytest.mark.usefixtures("_generous")
def test_nobody_else_may_write_what_a_build_has_written(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(user.folder / "home"))

    assert user.run("build").code == 0
    user.write("specs/app.yaml", (user.folder / "specs/app.yaml").read_text() + "labels: {a: b}\n")
    assert user.run("build").code == 0
    assert user.run("publish", "dir", "place").code == 0

    for part in ("out", "home/meshc", "place"):
        assert set(_modes(user.folder / part).values()) == {0}, part
    assert stat.S_IMODE((user.folder / "home/meshc").stat().st_mode) == 0o700


def test_a_cache_that_others_may_write_to_is_made_private(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(user.folder / "home"))
    cache = user.folder / "home/meshc"
    cache.mkdir(parents=True)
    cache.chmod(0o777)

    assert user.run("build").code == 0

    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_a_cache_that_is_a_link_is_not_used(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(user.folder / "home"))
    (user.folder / "home").mkdir()
    (user.folder / "elsewhere").mkdir()
    (user.folder / "home/meshc").symlink_to("../elsewhere")

    assert user.run("build").code == 0

    assert list((user.folder / "elsewhere").iterdir()) == []


def test_a_lock_of_somebody_else_is_waited_for_and_named(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 0.2)
    held = os.open(user.folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        answer = user.run("build")
    finally:
        os.close(held)

    assert answer.code == 3
    assert answer.err.startswith('error: "." has been locked for 0 s by process ')
    assert f"process {os.getpid()} (" in answer.err
    assert user.run("build").code == 0
