"""Reading bundles back: verified, from one generation, also while one is being replaced."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from meshc.artifact.manifest import Manifest
from meshc.artifact.store import DirectoryStore
from meshc.artifact.write import JOURNAL
from meshc.diagnostics.errors import BundleError, OutputError
from tests.artifact.bundles import NEW, OLD, contents, mark_journal, seen_by_reader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


def test_a_node_is_read_with_its_generation(tmp_path: Path) -> None:
    OLD.write(tmp_path)

    bundle = DirectoryStore(tmp_path).node("a")

    assert bundle.node == "a"
    assert bundle.generation == Manifest.parse(OLD.manifest).generation
    assert dict(bundle.files) == OLD.seen["a"]


def test_what_lies_in_the_journal_is_newer(tmp_path: Path) -> None:
    OLD.write(tmp_path)
    NEW.write(tmp_path / "other")
    journal = tmp_path / JOURNAL
    (tmp_path / "other").rename(journal)
    mark_journal(journal)

    assert dict(DirectoryStore(tmp_path).node("come").files) == NEW.seen["come"]


@pytest.mark.parametrize("mark", [None, "0\n", ""])
def test_a_journal_that_came_with_a_checkout_counts_for_nothing(
    tmp_path: Path, mark: str | None
) -> None:
    OLD.write(tmp_path)
    NEW.write(tmp_path / "other")
    (tmp_path / "other").rename(tmp_path / JOURNAL)
    if mark is not None:
        (tmp_path / JOURNAL / ".made-here").write_text(mark)
    before = contents(tmp_path)

    assert seen_by_reader(tmp_path) == OLD.seen
    with pytest.raises(OutputError, match="was not made by a build of meshc in this folder"):
        NEW.write(tmp_path)
    assert contents(tmp_path) == before


def test_a_journal_that_is_a_link_is_followed_by_nobody(tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    OLD.write(out)
    NEW.write(other)
    (other / ".made-here").write_text(f"{other.stat().st_ino}\n")
    (out / JOURNAL).symlink_to("../other")
    before = contents(other)

    assert seen_by_reader(out) == OLD.seen
    with pytest.raises(OutputError, match="was not made"):
        NEW.write(out)
    assert contents(other) == before


@pytest.mark.parametrize("data", [b"", b"something else", None], ids=["empty", "other", "missing"])
def test_a_file_that_is_not_what_the_manifest_names_is_refused(
    tmp_path: Path, data: bytes | None
) -> None:
    OLD.write(tmp_path)
    path = tmp_path / "nodes" / "a" / "cds.json"
    path.unlink()
    if data is not None:
        path.write_bytes(data)

    with pytest.raises(BundleError, match="cds.json"):
        DirectoryStore(tmp_path).node("a")


def test_a_change_between_manifest_and_files_is_noticed_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    OLD.write(tmp_path)
    store = DirectoryStore(tmp_path)
    read = store.manifest
    manifests = []

    def manifest() -> Manifest:
        manifests.append(read())
        if len(manifests) == 1:
            NEW.write(tmp_path)
        return manifests[-1]

    monkeypatch.setattr(store, "manifest", manifest)

    bundle = store.node("a")

    assert dict(bundle.files) == NEW.seen["a"]
    assert len(manifests) == 2


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_a_folder_without_bundle_says_what_to_do(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(BundleError, match=r"manifest\.json.* is missing") as raised:
        DirectoryStore(tmp_path / place).manifest()

    assert raised.value.hint == "build first: meshc build"


def test_reading_changes_nothing(tmp_path: Path) -> None:
    OLD.write(tmp_path)
    before = contents(tmp_path)

    DirectoryStore(tmp_path).node("b")

    assert contents(tmp_path) == before
