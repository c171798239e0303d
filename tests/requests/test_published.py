"""What docs/outages.md says is what was measured, and what was measured holds what it promises."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.campaigns.outages.bars import KNOWN
from tests.campaigns.outages.cells import CELLS
from tests.campaigns.outages.fleet import OURS, SERVICES
from tests.campaigns.outages.page import PAGE, render
from tests.campaigns.outages.plain import COLUMNS
from tests.campaigns.outages.results import RESULTS

_FOUND: dict[str, Any] = json.loads(RESULTS.read_text())
_EVENTS = sorted({cell.event for cell in CELLS})


def _cells(event: str) -> dict[str, dict[str, Any]]:
    """By kind of request and column, but for those of which it is known that they cannot hold."""
    cells: dict[str, dict[str, Any]] = _FOUND["rows"][event]
    return {kind: columns for kind, columns in cells.items() if (event, kind) not in KNOWN}


def test_the_page_is_made_from_the_results() -> None:
    assert PAGE.read_text() == render(_FOUND), "make docs"


def test_every_cell_of_the_matrix_has_been_played() -> None:
    played = sum(runs["all"] for runs in _FOUND["runs"].values())

    assert played == len(CELLS) == 111


@pytest.mark.parametrize("event", _EVENTS)
def test_every_kind_was_asked_for_in_every_column(event: str) -> None:
    asked = {
        (kind, column)
        for kind, columns in _FOUND["rows"][event].items()
        for column, cell in columns.items()
        if cell["requests"]
    }

    assert asked == {(kind, column) for kind in SERVICES for column in (OURS, *COLUMNS)}


@pytest.mark.parametrize("event", _EVENTS)
def test_nothing_failed_needlessly(event: str) -> None:
    failed = {kind: columns[OURS]["needless"] for kind, columns in _cells(event).items()}

    assert set(failed.values()) <= {0}, failed


@pytest.mark.parametrize("event", _EVENTS)
def test_no_other_column_is_better(event: str) -> None:
    for kind, columns in _cells(event).items():
        least = min(columns[column]["needless"] for column in COLUMNS)
        assert columns[OURS]["needless"] <= least, kind


def test_what_fits_is_answered_under_overload_and_the_rest_refused_at_once() -> None:
    ours = next(one for one in _FOUND["overload"] if one["column"] == OURS)

    assert ours["goodput"] >= 0.9
    assert ours["refused"] > 0
    assert ours["refused_p99"] <= 50
