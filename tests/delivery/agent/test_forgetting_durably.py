"""What is forgotten must not come back in halves after a power cut."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from meshc.delivery.agent import generations
from meshc.delivery.agent.durable import sync_folder
from meshc.delivery.agent.generations import Generations
from tests.delivery.node_files import bundle

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_lists_are_gone_for_good_before_their_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Generations(tmp_path, "n1")
    store.prepare()
    for number in range(4):
        store.add(bundle({"lds.json": b"lds %d" % number}), fetched=float(number))
    done: list[str] = []
    really_unlink = os.unlink

    def unlink(path: Path) -> None:
        done.append(path.suffix)
        really_unlink(path)

    def sync(folder: Path) -> None:
        done.append("sync")
        sync_folder(folder)

    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(generations, "sync_folder", sync)

    store.prune(2, ())

    assert done == [".json", ".json", "sync", ".file", ".file"]
    assert len(store.all()) == 2


def test_nothing_is_synced_where_nothing_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Generations(tmp_path, "n1")
    store.prepare()
    store.add(bundle({"lds.json": b"lds"}), fetched=1.0)
    done: list[Path] = []
    monkeypatch.setattr(generations, "sync_folder", done.append)

    store.prune(2, ())

    assert done == []
