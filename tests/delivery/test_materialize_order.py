"""Files that are laid out over others: an Envoy may be started by somebody who does not ask."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from meshc.delivery import materialize as module
from meshc.delivery.agent.swap import put_file, read_files, remove_file
from meshc.delivery.materialize import materialize
from tests.campaigns.blockdevice.nodes import SETS
from tests.campaigns.faults import judge
from tests.delivery.node_files import bundle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What an Envoy that starts would lack, after each move."""
    lacks: list[list[str]] = []

    def put(directory: Path, path: str, data: bytes) -> None:
        put_file(directory, path, data)
        lacks.append(judge.dangling(judge.files_in(tmp_path)))

    def remove(directory: Path, path: str) -> None:
        remove_file(directory, path)
        lacks.append(judge.dangling(judge.files_in(tmp_path)))

    monkeypatch.setattr(module, "put_file", put)
    monkeypatch.setattr(module, "remove_file", remove)
    return lacks


@pytest.mark.parametrize(("before", "after"), [*itertools.permutations(SETS, 2)])
def test_an_envoy_could_start_after_each_move(
    before: str, after: str, found: list[list[str]], tmp_path: Path
) -> None:
    materialize(bundle(SETS[before]), tmp_path)
    found.clear()

    result = materialize(bundle(SETS[after]), tmp_path)

    assert len(found) >= len(result.written) + len(result.removed)
    assert [lacks for lacks in found if lacks] == []
    assert read_files(tmp_path) == SETS[after]
    changed = {path for path, data in SETS[after].items() if SETS[before].get(path) != data}
    assert set(result.written) == changed
    assert set(result.removed) == SETS[before].keys() - SETS[after].keys()
    assert set(result.unchanged) == SETS[after].keys() - changed


def test_no_envoy_could_start_before_the_last_move_into_an_empty_directory(
    found: list[list[str]], tmp_path: Path
) -> None:
    materialize(bundle(SETS["first"]), tmp_path)

    assert [bool(lacks) for lacks in found] == [True] * (len(found) - 1) + [False]


def test_what_cannot_be_started_with_is_replaced_all_the_same(tmp_path: Path) -> None:
    materialize(bundle(SETS["routes"]), tmp_path)
    (tmp_path / "cds.json").write_bytes(b"")

    materialize(bundle(SETS["first"]), tmp_path)

    assert read_files(tmp_path) == SETS["first"]
