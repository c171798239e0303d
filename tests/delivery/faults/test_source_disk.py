"""A disk under the source that cannot be read: what runs goes on, and it heals by itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import SourceError
from meshc.delivery.agent.sources.directory import DirectorySource
from tests.campaigns.blockdevice import disk
from tests.campaigns.faults import tracing
from tests.delivery.agent.resident import Resident, lying, numbered, publish
from tests.delivery.live import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EIO = "Input/output error"


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[disk.LoggedDisk]:
    if reason := disk.require(*disk.EXT4):
        pytest.skip(reason)
    with disk.logged_disk(tmp_path, disk.EXT4[0]) as found:
        yield found


def forget(place: Path) -> None:
    """Let the kernel keep nothing of a file in memory, so that the next read asks the disk."""
    descriptor = os.open(place, os.O_RDWR)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("bad", ["manifest.json", "nodes/n1/lds.json", "services/app/eds.json"])
def test_a_disk_that_cannot_be_read_keeps_what_runs_and_is_read_when_it_can(
    logged: disk.LoggedDisk, tmp_path: Path, bad: str
) -> None:
    out, new = logged.root / "out", logged.root / "new"
    publish(out, numbered(0))
    settings = {"source": str(out), "poll": 0.1}
    with Resident(tmp_path, settings) as agent:
        agent.await_files(numbered(0))
        publish(new, numbered(1))
        forget(new / bad)
        forget(tmp_path / "disk")  # what lies below the file system remembers too
        logged.server.is_unreadable = True

        out.rename(logged.root / "old")
        new.rename(out)
        until(lambda: agent.status()["state"] == "source-failing", "a word about it")
        status, kept = agent.status(), lying(agent.target)
        asked_anew = logged.server.refused_reads
        logged.server.is_unreadable = False
        agent.await_files(numbered(1))

        assert _EIO in status["summary"]
        assert f'"{out / bad}"' in status["summary"]
        assert kept == numbered(0)
        assert asked_anew >= 2  # it is not given up
        assert agent.said("internal error") == []
        assert agent.status()["source"]["failures"] == 0


@contextlib.contextmanager
def refused(agent: Resident, *places: Path) -> Iterator[None]:
    """Let every call of the agent that touches one of these places end in an I/O error."""
    calls = "openat,read,pread64,newfstatat,statx,fstat,getdents64"
    paths = [part for place in places for part in ("-P", str(place))]
    process = subprocess.Popen(
        [
            *("strace", "-f", "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"),
            *("-o", os.devnull, *paths, "-p", str(agent.process.pid)),
        ],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stderr is not None
    try:
        assert b"attached" in process.stderr.readline()
        yield
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()


@pytest.mark.parametrize("what", ["the folder and all that is in it", "all files"])
def test_a_source_of_which_nothing_can_be_looked_at_is_a_failing_source(
    tmp_path: Path, what: str
) -> None:
    if reason := tracing.require():
        pytest.skip(reason)
    out = tmp_path / "out"
    publish(out, numbered(0))
    with Resident(tmp_path, {"poll": 0.1}) as agent:
        agent.await_files(numbered(0))
        files = [place for place in out.rglob("*") if place.is_file()]
        folders = [out, *(place for place in out.rglob("*") if place.is_dir())]
        with refused(agent, *files, *(folders if what.startswith("the folder") else [])):
            publish(out, numbered(1))
            until(lambda: agent.status()["state"] == "source-failing", "a word about it")
            status, kept = agent.status(), lying(agent.target)
        agent.await_files(numbered(1))

        assert _EIO in status["summary"]
        assert kept == numbered(0)
        assert agent.said("internal error") == []


def test_a_folder_that_cannot_even_be_looked_at_is_an_error_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    publish(out, numbered(0))
    shutil.move(out / "manifest.json", tmp_path)
    source = DirectorySource(
        AgentSettings(node="n1", source=str(out), target=tmp_path, state=tmp_path / "state")
    )
    stat = os.stat

    def failing(place: Path, **given: bool) -> os.stat_result:
        if os.fspath(place) == str(out):
            raise OSError(5, _EIO)
        return stat(place, **given)

    monkeypatch.setattr(os, "stat", failing)

    with pytest.raises(SourceError):
        source.fetch(None)
