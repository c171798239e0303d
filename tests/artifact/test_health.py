"""The rule that lies beside endpoints: written, read, and refused where it is damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshc.artifact.health import HealthRule, parse_rule
from meshc.artifact.layout import is_health_path, is_host_path
from meshc.diagnostics.errors import BundleError

RULE = HealthRule(mesh="shop", service="app", consumer="front", panic_threshold=40, tags=("a", "b"))
PATH = "services/app/health@front.json"


def test_a_rule_comes_back_as_it_was() -> None:
    assert parse_rule(PATH, RULE.to_bytes()) == RULE


def test_a_rule_lies_beside_its_endpoints_where_a_host_may_have_files() -> None:
    assert (RULE.path, RULE.endpoints_path) == (PATH, "services/app/eds@front.json")
    assert is_host_path(PATH)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PATH, True),
        ("services/app/eds@front.json", False),
        ("services/health@app/eds.json", False),
        ("health@front.json", False),
    ],
)
def test_a_rule_is_known_by_its_name(path: str, *, expected: bool) -> None:
    assert is_health_path(path) is expected


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"panic_threshold": 101},
        {"panic_threshold": -1},
        {"panic_threshold": True},
        {"panic_threshold": "50"},
        {"service": "../app"},
        {"consumer": "other"},
        {"mesh": ""},
        {"tags": [1]},
        {"tags": ["x"] * 65},
        {"tags": None},
        {"is_only_in_consul": 1},
        {"more": 1},
    ],
)
def test_a_damaged_rule_is_refused(change: dict[str, Any]) -> None:
    content = json.loads(RULE.to_bytes()) | change

    with pytest.raises(BundleError, match="damaged"):
        parse_rule(PATH, json.dumps(content).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"format": 1}', b"[" * 100_000])
def test_what_is_no_rule_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="damaged"):
        parse_rule(PATH, data)
