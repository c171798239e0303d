"""What is read of a target and of the store, again and again, at every delivery."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from meshc.artifact.store import NodeBundle
from meshc.delivery.agent.generations import Generations
from meshc.delivery.agent.swap import read_files

if TYPE_CHECKING:
    import pytest


def lay_out(directory: Path, *paths: str) -> None:
    for path in paths:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(path)


def test_a_nodes_files_are_its_own_three_and_the_shared_ones(tmp_path: Path) -> None:
    own = ("bootstrap.json", "cds.json", "lds.json")
    shared = ("services/app/eds.json", "services/app/rds-outbound.json", "services/db/eds.json")
    lay_out(tmp_path, *own, *shared)
    lay_out(tmp_path, "envoy.log", "other.json", "services/app/notes.txt", "services/loose.json")
    lay_out(tmp_path, "services/app/deep/eds.json", ".agent/status.json")
    lay_out(
        tmp_path, "services/app/eds@-.json", "services/app/package.json", "services/-a/eds.json"
    )

    found = read_files(tmp_path)

    assert {path: data.decode() for path, data in found.items()} == {
        path: path for path in own + shared
    }


def test_what_is_no_plain_file_is_passed_over(tmp_path: Path) -> None:
    lay_out(tmp_path, "cds.json", "services/app/eds.json")
    (tmp_path / "bootstrap.json").mkdir()
    os.mkfifo(tmp_path / "lds.json")
    (tmp_path / "services/app/rds-inbound.json").symlink_to("nowhere")
    before = len(list(Path("/proc/self/fd").iterdir()))

    found = read_files(tmp_path)

    assert sorted(found) == ["cds.json", "services/app/eds.json"]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert read_files(tmp_path / "nowhere") == {}


def test_a_stored_file_that_was_damaged_is_mended_by_the_next_generation_that_has_it(
    tmp_path: Path,
) -> None:
    store = Generations(tmp_path, "n1")
    store.prepare()
    store.add(NodeBundle(node="n1", generation="1", files={"a": b"same", "b": b"old"}), fetched=1)
    for place in store.folder.glob("*.file"):
        place.write_bytes(b"damaged")

    generation = store.add(
        NodeBundle(node="n1", generation="2", files={"a": b"same", "b": b"new"}), fetched=2
    )

    loaded = store.load(generation)
    assert loaded is not None
    assert loaded.files == {"a": b"same", "b": b"new"}


def test_a_stored_file_is_not_read_again_for_the_next_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Generations(tmp_path, "n1")
    store.prepare()
    store.add(NodeBundle(node="n1", generation="1", files={"a": b"same"}), fetched=1)
    read: list[str] = []
    monkeypatch.setattr(store, "file", read.append)

    store.add(NodeBundle(node="n1", generation="2", files={"a": b"same", "b": b"new"}), fetched=2)

    assert read == [hashlib.sha256(b"new").hexdigest()]
