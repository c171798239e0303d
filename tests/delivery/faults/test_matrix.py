"""The table of faults names tests that there are."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.campaigns.__main__ import CAMPAIGNS
from tests.delivery.faults.matrix import MATRIX, Row
from tests.delivery.faults.server_matrix import SERVER_MATRIX

ROOM = Path(__file__).parents[1]
ALL = (*MATRIX, *SERVER_MATRIX)
CAMPAIGN_OF_ROWS = {row.campaign for row in ALL if row.campaign}

_OF_NO_FAULT = {"envoys", "outages"}
"""What befalls neither agent nor server; the short form of the latter is in tests/requests."""


@cache
def known_tests(place: Path) -> frozenset[str]:
    """The tests of a module."""
    return frozenset(
        node.name
        for node in ast.parse(place.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.fault)
def test_every_fault_has_tests_that_there_are(row: Row) -> None:
    assert row.tests
    for module, names in row.tests.items():
        assert set(names) <= known_tests(ROOM / module)
        assert names


def test_a_name_that_is_no_test_would_be_found() -> None:
    assert "test_500_kills" not in known_tests(ROOM / "faults/test_kill.py")
    assert "kill_played" not in known_tests(ROOM / "faults/test_kill.py")


def test_every_campaign_is_the_long_form_of_a_fault_and_the_other_way_round() -> None:
    assert set(CAMPAIGNS) - _OF_NO_FAULT == CAMPAIGN_OF_ROWS


def test_every_campaign_has_a_short_form_among_these_tests() -> None:
    for name in CAMPAIGN_OF_ROWS:
        modules = [module for row in ALL if row.campaign == name for module in row.tests]
        played = [one for one in modules if f"tests.campaigns.{name}" in _imports(ROOM / one)]
        assert played, name


def _imports(place: Path) -> set[str]:
    """Modules that a module imports, or from which it takes something."""
    found = set()
    for node in ast.walk(ast.parse(place.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return found
