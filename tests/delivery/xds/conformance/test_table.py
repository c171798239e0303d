"""Every behaviour of the protocol has a test, or a reason why it has none."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.delivery.xds.conformance.behaviours import BEHAVIOURS, NOT_OURS

_TESTS = Path(__file__).parent.parent


def _claims(text: str) -> dict[str, set[str]]:
    """Read a module of tests: what each test says that it shows."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.conforms":
                    shown = found.setdefault(node.name, set())
                    shown.update(ast.literal_eval(one) for one in mark.args)
    return found


def _all_claims() -> dict[str, set[str]]:
    """Return the tests of each behaviour that is claimed."""
    found: dict[str, set[str]] = {}
    for path in sorted(_TESTS.rglob("test_*.py")):
        for test, ids in _claims(path.read_text()).items():
            for one in ids:
                found.setdefault(one, set()).add(f"{path.name}::{test}")
    return found


def test_every_behaviour_has_a_test_or_a_reason() -> None:
    claimed = set(_all_claims())

    assert BEHAVIOURS.keys() - claimed - NOT_OURS.keys() == set()
    assert claimed & NOT_OURS.keys() == set(), "there is a test, so there is no reason"
    assert (claimed | NOT_OURS.keys()) - BEHAVIOURS.keys() == set(), "nobody knows these"


def test_the_table_is_whole() -> None:
    """As many as the reference libraries have, without a gap."""
    most = {"S": 12, "D": 10, "U": 5, "C": 14, "K": 6, "L": 13, "G": 1, "J": 10}
    numbered = {f"{area}{number}" for area, last in most.items() for number in range(1, last + 1)}

    assert numbered <= BEHAVIOURS.keys()
    assert all(text for text in NOT_OURS.values())


def test_claims_are_read_from_decorators_of_tests() -> None:
    module = '@pytest.mark.conforms("S1", "nack")\n@other\ndef test_it(): pass\ndef test_no(): 0\n'

    assert _claims(module) == {"test_it": {"S1", "nack"}}
