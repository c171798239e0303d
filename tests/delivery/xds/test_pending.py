"""A publication that is never completed is told, after a while."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meshc.artifact.publication import Index, render_index
from meshc.artifact.published import INDEX_PATH
from meshc.delivery.xds.content.library import Library
from meshc.delivery.xds.content.published import FolderSource
from meshc.diagnostics.errors import BundleError
from meshc.proto import load_schema

if TYPE_CHECKING:
    from pathlib import Path

_SHARD = {"00": "ab" * 32}


def _order(minutes_ago: float) -> int:
    return int((time.time() - 60 * minutes_ago) * 1000)


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    return FolderSource(tmp_path, Library(load_schema("1.40.0")))


def _write(source: FolderSource, index: Index) -> None:
    (source.directory / INDEX_PATH).write_bytes(render_index(index))


def test_what_is_under_way_for_long_is_said_and_forgotten_once_it_is_complete(
    source: FolderSource,
) -> None:
    done = Index(mesh="m", order=_order(60), generation="a", nodes=1, shards=_SHARD)
    _write(source, done)
    served = source.load(None)

    _write(source, replace(done, order=_order(4), pending=frozenset({"00"})))
    assert source.load(served) is None

    _write(source, replace(done, order=_order(6), pending=frozenset({"00"})))
    with pytest.raises(BundleError, match="a publication was begun 6 min ago") as error:
        source.load(served)
    assert "meshc publish" in (error.value.hint or "")

    _write(source, replace(done, order=_order(1), generation="b"))
    found = source.load(served)
    assert found is not None
    assert found.generation == "b"


def test_what_was_incomplete_from_the_start_is_served_and_said(source: FolderSource) -> None:
    left = Index(
        mesh="m",
        order=_order(90),
        generation="a",
        nodes=1,
        shards=_SHARD,
        pending=frozenset({"00"}),
    )
    _write(source, left)

    served = source.load(None)

    assert served is not None
    with pytest.raises(BundleError, match="is not complete"):
        source.load(served)
