"""Which events of a folder are news: a delivery is cut short by news, and by nothing else."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from watchdog.observers.inotify import InotifyObserver

from meshc.artifact.write import JOURNAL, recover
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import SourceError
from meshc.delivery.agent.sources.directory import DirectorySource
from tests.artifact.bundles import NEW, OLD, Bundle, mark_journal
from tests.delivery.live import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def settings_for(folder: Path, target: Path) -> AgentSettings:
    return AgentSettings(node="a", source=str(folder), target=target, state=target / "state")


class Watched(DirectorySource):
    """A source on a folder, with a record of what it took events for."""

    def __init__(self, folder: Path, target: Path) -> None:
        super().__init__(settings_for(folder, target))
        self.judged: list[bool] = []
        self.notified = 0
        assert not self.watch(self._on_news)

    def is_news(self) -> bool:
        self.judged.append(super().is_news())
        return self.judged[-1]

    def _on_news(self, _at: float) -> None:
        self.notified += 1


@pytest.fixture
def out(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    OLD.write(out)
    return out


@pytest.fixture
def source(out: Path, tmp_path: Path) -> Iterator[Watched]:
    source = Watched(out, tmp_path / "target")
    source.fetch(None)
    yield source
    source.close()


def commit_without_moving(bundle: Bundle, out: Path) -> None:
    """What a writer has done once it has committed, before it moves anything into place."""
    staged = out.with_name("staged")
    for path, data in {**bundle.files, "manifest.json": bundle.manifest}.items():
        (staged / path).parent.mkdir(parents=True, exist_ok=True)
        (staged / path).write_bytes(data)
    mark_journal(staged)
    staged.rename(out / JOURNAL)


def test_a_commit_is_news(source: Watched, out: Path) -> None:
    commit_without_moving(NEW, out)

    until(lambda: source.notified > 0, "a word about the journal")


def test_moving_what_was_read_into_place_is_no_news(source: Watched, out: Path) -> None:
    commit_without_moving(NEW, out)
    until(lambda: source.notified > 0, "a word about the journal")
    bundle = source.fetch(None)
    assert bundle is not None
    assert bundle.files == NEW.seen["a"]
    source.judged.clear()
    notified = source.notified

    recover(out)

    until(lambda: len(source.judged) > 0, "an event of the move")
    assert not (out / JOURNAL).exists()
    assert not any(source.judged)
    assert source.notified == notified


def test_a_fetch_while_the_watch_is_being_set_up_sets_up_no_second_one(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = DirectorySource(settings_for(out, tmp_path / "target"))
    start = InotifyObserver.start
    started: list[InotifyObserver] = []

    def fetch_and_start(self: InotifyObserver) -> None:
        started.append(self)
        if len(started) == 1:  # the agent's worker fetches as soon as it is there
            watched.fetch(None)
        start(self)

    monkeypatch.setattr(InotifyObserver, "start", fetch_and_start)

    assert not watched.watch(lambda _at: None)
    watched.close()

    assert len(started) == 1


def test_a_manifest_that_could_not_be_read_stays_news(source: Watched, out: Path) -> None:
    commit_without_moving(NEW, out)
    (out / JOURNAL / "services/app/eds.json").write_bytes(b"of another build")

    with pytest.raises(SourceError):
        source.fetch(None)

    assert source.is_news()


def test_a_manifest_that_comes_while_another_is_read_is_news(
    source: Watched, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = source._read
    said: list[bool] = []

    def slow(path: str, limit: int) -> bytes:
        data = read(path, limit)
        if path == "manifest.json":
            said.append(source.is_news())
            NEW.write(out)
            said.append(source.is_news())
        return data

    monkeypatch.setattr(source, "_read", slow)
    with pytest.raises(SourceError):
        source.fetch(None)

    assert said == [False, True]


def test_a_source_says_for_how_long_nobody_watches_it(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_observer: InotifyObserver) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    source = DirectorySource(settings_for(out, tmp_path / "target"))
    with monkeypatch.context() as patch:
        patch.setattr(InotifyObserver, "start", refuse)
        told = source.watch(lambda _at: None)
        source.fetch(None)
        before = source.unwatched
    source.fetch(None)
    after = source.unwatched
    source.close()

    assert told == before == "inotify is not to be had: Too many open files"
    assert after == ""
