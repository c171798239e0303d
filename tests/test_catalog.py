"""The catalogue of codes, the code that reports them, the examples, the documentation."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import meshc
from meshc.diagnostics.catalog import CATALOG
from meshc.diagnostics.diagnostic import Severity
from meshc.pipeline import BuildOptions, build
from tests.case import all_cases

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(meshc.__file__).parent
DOCUMENT = PACKAGE.parent / "docs" / "diagnostics.md"

NO_SPEC_CAUSES_IT = {"MC601", "MC602", "MC603", "MC604", "MC701", "MC702", "MC703", "MC704"}
NO_SPEC_CAUSES_IT |= {"MC330", "MC331", "MC505"}  # a store does, see tests/store
CODE = re.compile(r"MC[0-9]{3}\Z")
LIVE = [code for code, entry in CATALOG.items() if not entry.retired]


def codes_in_source() -> Iterator[str]:
    """Codes that the source uses as a value of their own, outside the catalogue."""
    for path in PACKAGE.rglob("*.py"):
        if path.name.startswith("catalog"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str) and CODE.match(value):
                yield value


@pytest.mark.parametrize("code", [code for code in LIVE if code not in NO_SPEC_CAUSES_IT])
def test_the_example_gives_its_code_and_no_other(code: str, tmp_path: Path) -> None:
    specs = tmp_path / "specs"
    specs.mkdir()
    for name, text in CATALOG[code].example.items():
        (specs / name).write_text(text)

    result = build(specs, BuildOptions(out=tmp_path / "out"))

    assert {finding.code for finding in result.diagnostics} == {code}


def test_only_codes_that_no_spec_can_cause_have_no_example() -> None:
    assert {code for code in LIVE if not CATALOG[code].example} == NO_SPEC_CAUSES_IT


def test_every_live_code_that_a_spec_can_cause_has_a_mistake_case() -> None:
    shown = {
        finding.split()[0]
        for case in all_cases(about_mistakes=True)
        for finding in case.options["findings"]
    }

    assert set(LIVE) - NO_SPEC_CAUSES_IT - shown == {"MC103", "MC105"}, "see tests/spec for these"


def test_the_source_uses_every_live_code_and_no_unknown_one() -> None:
    assert set(codes_in_source()) == set(LIVE)


def test_titles_are_short_and_say_different_things() -> None:
    titles = [entry.title for entry in CATALOG.values()]

    assert len(set(titles)) == len(titles)
    for title in titles:
        assert len(title) <= 50
        assert not title.endswith(".")


@pytest.mark.parametrize("code", LIVE)
def test_an_explanation_is_a_paragraph_of_sentences(code: str) -> None:
    explanation = CATALOG[code].explanation

    assert explanation.endswith(".")
    assert "\n" not in explanation
    assert "  " not in explanation


def test_codes_are_listed_in_order() -> None:
    assert list(CATALOG) == sorted(CATALOG)
    assert [entry.code for entry in CATALOG.values()] == list(CATALOG)


def test_every_severity_is_known() -> None:
    assert {Severity(entry.severity) for entry in CATALOG.values()} == set(Severity)


def test_the_documentation_has_every_code_once() -> None:
    headings = re.findall(r"^#+ .*?(MC[0-9]{3})", DOCUMENT.read_text(), re.MULTILINE)

    assert headings == list(CATALOG)
