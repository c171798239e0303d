"""A publication in a folder: the node's pointer is what is looked at."""

from __future__ import annotations

import os
import random
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.sources import SourceError
from meshc.delivery.publish.plan import PublishConflictError, PublishError
from meshc.delivery.publish.to_directory import Folder
from tests.delivery.live import until
from tests.delivery.publish.bundles import NOW, Mesh
from tests.delivery.sources.published import NEW, OLD, files, generation, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meshc.delivery.agent.sources import Source

_PATIENCE_S = 20


def test_a_folder_is_read_whole_with_its_order(folder: Path, source: Callable[..., Source]) -> None:
    opened = source(folder)

    assert files(opened) == OLD.files("a")
    assert opened.order == NOW


def test_a_known_bundle_is_not_read_again(folder: Path, source: Callable[..., Source]) -> None:
    opened = source(folder)
    opened.fetch(None)
    shutil.rmtree(folder / "blobs")

    assert opened.fetch(generation(OLD)) is None


def test_a_pointer_that_moves_is_noticed_and_those_of_others_are_not(
    folder: Path, source: Callable[..., Source]
) -> None:
    opened, news = source(folder), threading.Event()
    opened.fetch(None)
    opened.watch(lambda _at: news.set())

    publish(folder, Mesh({"a": "1", "b": "2"}, OLD.services), NOW + 1)
    assert opened.fetch(generation(OLD)) is None
    assert not news.is_set()
    publish(folder, NEW, NOW + 2)

    assert news.wait(_PATIENCE_S)
    assert files(opened, generation(OLD)) == NEW.files("a")


def test_a_folder_that_becomes_a_publication_is_read_and_watched_as_one(
    tmp_path: Path, source: Callable[..., Source]
) -> None:
    folder = tmp_path / "place"
    OLD.write(folder)
    opened, news = source(folder), threading.Event()
    assert files(opened) == OLD.files("a")
    first = opened.order
    assert first is None
    opened.watch(lambda _at: news.set())

    publish(folder, NEW, NOW)
    assert news.wait(_PATIENCE_S)
    assert files(opened, generation(OLD)) == NEW.files("a")
    assert opened.order == NOW
    news.clear()
    publish(folder, OLD, NOW + 1)

    assert news.wait(_PATIENCE_S)
    assert files(opened, generation(NEW)) == OLD.files("a")


def test_a_folder_in_which_the_publication_appears_later_is_watched(
    tmp_path: Path, source: Callable[..., Source]
) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    opened, news = source(folder), threading.Event()
    opened.watch(lambda _at: news.set())
    with pytest.raises(SourceError, match="is missing"):
        opened.fetch(None)

    publish(folder, OLD)

    assert news.wait(_PATIENCE_S)
    until(lambda: files(opened) == OLD.files("a"), "a bundle")


def test_a_pointer_that_has_gone_is_a_failure_and_says_so(
    folder: Path, source: Callable[..., Source]
) -> None:
    opened, news = source(folder), threading.Event()
    opened.fetch(None)
    opened.watch(lambda _at: news.set())
    (folder / "manifest.json").write_text("{}")  # of no meaning in a publication

    publish(folder, Mesh({"b": "1"}, OLD.services), NOW + 1)

    assert news.wait(_PATIENCE_S)
    with pytest.raises(SourceError, match=r'no files for node "a" \(any more\)'):
        opened.fetch(generation(OLD))


def test_what_rsync_has_brought_only_in_part_is_incomplete(
    folder: Path, source: Callable[..., Source], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("index.json", "nodes"):
        (shutil.copytree if (folder / name).is_dir() else shutil.copy)(folder / name, copy / name)
    opened = source(copy)

    with pytest.raises(SourceError, match="is missing") as caught:
        opened.fetch(None)
    shutil.copytree(folder / "blobs", copy / "blobs")

    assert caught.value.is_incomplete
    assert files(opened) == OLD.files("a")


def test_no_flipped_bit_ever_gets_through(folder: Path, source: Callable[..., Source]) -> None:
    """In pointer and blobs, a sample: other content is never returned."""
    luck = random.Random(7)
    places = [folder / "nodes/a.json", *folder.glob("blobs/*/*")]
    refused = 0
    for _ in range(300):
        place = luck.choice(places)
        whole = place.read_bytes()
        flipped = bytearray(whole)
        flipped[luck.randrange(len(whole))] ^= 1 << luck.randrange(8)
        place.write_bytes(flipped)

        try:
            assert files(source(folder)) == OLD.files("a")
        except SourceError:
            refused += 1
        place.write_bytes(whole)

    assert refused > 100


def test_a_publisher_that_comes_while_another_is_at_work_in_a_folder_is_refused(
    folder: Path,
) -> None:
    before = (folder / "index.json").read_bytes()

    with (
        Folder(folder).alone(),
        pytest.raises(PublishConflictError, match="somebody else is publishing"),
    ):
        publish(folder, NEW, NOW + 1)

    assert (folder / "index.json").read_bytes() == before


class KilledError(BaseException):
    """Nothing catches it: the publisher is gone."""


def test_wherever_a_publisher_dies_hosts_read_old_or_new_and_the_next_ends_it(
    folder: Path, tmp_path: Path, source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename
    for cut in range(100):
        place = tmp_path / f"cut-{cut}"
        shutil.copytree(folder, place)
        left = iter(range(cut))

        def counted(*names: Path, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KilledError
            rename(*names)

        monkeypatch.setattr("meshc.delivery.publish.to_directory.os.rename", counted)
        is_over = False
        try:
            publish(place, NEW, NOW + 1)
            is_over = True
        except KilledError:
            pass
        monkeypatch.undo()

        assert files(source(place)) in [OLD.files("a"), NEW.files("a")]
        publish(place, NEW, NOW + 2)
        assert files(source(place)) == NEW.files("a")
        if is_over:
            break
    assert is_over
    assert cut > 5


def test_what_a_killed_publisher_was_writing_goes_with_the_next(folder: Path) -> None:
    (folder / ".new").mkdir()
    (folder / ".new/3").write_text("half")

    publish(folder, NEW, NOW + 1)

    assert not (folder / ".new").exists()


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(PublishError, match="cannot (read|write)"):
        publish(tmp_path / "file", OLD)


def test_files_of_a_publication_may_be_read_by_a_web_server(folder: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}

    assert modes == {0o644}
