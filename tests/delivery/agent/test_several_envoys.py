"""Which of several Envoys on a host is the one whose user's inotify instances count."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.inotify import envoy_user

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")

_FIRST, _SECOND = 54321, 54322
_MOVED_TO = 0x80

Targets = tuple[Path, Path]


@pytest.fixture
def targets(tmp_path: Path) -> Targets:
    first, second = tmp_path / "target", tmp_path / "target-2"
    for place in (first, second):
        place.mkdir()
        (place / "bootstrap.json").touch()
    return first, second


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that any user may look into."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    program = place / "envoy"
    program.write_text("#!/bin/sh\necho up\nread _\n")
    program.chmod(0o755)
    yield place
    program.unlink()
    place.rmdir()


@contextmanager
def envoy(
    place: Path, user: int, *words: str, folder: Path = Path("/"), held: int | None = None
) -> Iterator[int]:
    """A process of that name, which holds a descriptor; gives its number."""
    process = subprocess.Popen(
        [str(place / "envoy"), *words],
        cwd=folder,
        user=user,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=() if held is None else (held,),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@contextmanager
def watch(folder: Path) -> Iterator[int]:
    """An inotify instance with a watch on a folder."""
    libc = ctypes.CDLL(None, use_errno=True)
    instance = libc.inotify_init1(0)
    assert libc.inotify_add_watch(instance, os.fsencode(folder), _MOVED_TO) > 0
    try:
        yield instance
    finally:
        os.close(instance)


def users_of(targets: Targets, tmp_path: Path, *pids: int) -> tuple[int | None, int | None]:
    """Which user is found for each target, on a host with these processes alone."""
    proc = tmp_path / "proc"
    proc.mkdir()
    for pid in pids:
        (proc / str(pid)).symlink_to(f"/proc/{pid}")
    first, second = (envoy_user(proc, target=target) for target in targets)
    return first, second


@pytest.mark.parametrize("form", ["-c {}", "--config-path {}", "--config-path={}"])
def test_it_is_the_one_that_was_started_with_the_targets_bootstrap(
    place: Path, targets: Targets, tmp_path: Path, form: str
) -> None:
    """One target's name begins like the other's."""
    first, second = (form.format(one / "bootstrap.json").split() for one in targets)
    with envoy(place, _FIRST, *first) as one, envoy(place, _SECOND, *second) as two:
        assert users_of(targets, tmp_path, one, two) == (_FIRST, _SECOND)


def test_it_is_the_one_that_was_started_within_the_target(
    place: Path, targets: Targets, tmp_path: Path
) -> None:
    first, second = targets
    with (
        envoy(place, _FIRST, "-c", "bootstrap.json", folder=first) as one,
        envoy(place, _SECOND, "-c", "bootstrap.json", folder=second) as two,
    ):
        assert users_of(targets, tmp_path, one, two) == (_FIRST, _SECOND)


def test_it_is_the_one_that_watches_the_target(
    place: Path, targets: Targets, tmp_path: Path
) -> None:
    with (
        watch(targets[0]) as first,
        watch(targets[1]) as second,
        envoy(place, _FIRST, held=first) as one,
        envoy(place, _SECOND, held=second) as two,
    ):
        assert users_of(targets, tmp_path, one, two) == (_FIRST, _SECOND)


def test_where_it_is_none_of_them_some_user_is_counted(
    place: Path, targets: Targets, tmp_path: Path
) -> None:
    with envoy(place, _FIRST) as one, envoy(place, _SECOND) as two:
        assert set(users_of(targets, tmp_path, one, two)) <= {_FIRST, _SECOND}


def test_one_alone_is_it_wherever_it_was_started(
    place: Path, targets: Targets, tmp_path: Path
) -> None:
    with envoy(place, _FIRST, "-c", "/etc/envoy.json") as one:
        assert users_of(targets, tmp_path, one) == (_FIRST, _FIRST)
