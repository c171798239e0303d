"""Mistakes in specs: which code, at which place, in exactly which words; and nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.diagnostics.render import render_text
from meshc.pipeline import BuildOptions, build
from tests.case import Case, all_cases
from tests.golden import read_tree

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.pipeline import BuildResult
    from tests.golden import Goldens

MISTAKES = all_cases(about_mistakes=True)

for_each_mistake = pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case.name)


def tried(case: Case, out: Path) -> BuildResult:
    return build(case.specs, BuildOptions(out=out))


def shown(result: BuildResult) -> str:
    texts = {name: source.text for name, source in result.sources.items()}
    return render_text(result.diagnostics, texts, root="specs")


@for_each_mistake
def test_the_code_and_the_place_are_right(case: Case, tmp_path: Path) -> None:
    result = tried(case, tmp_path / "out")

    found = [f"{one.code} {one.span or ''}".strip() for one in result.diagnostics]
    assert found == case.options["findings"]


@for_each_mistake
def test_the_words_are_as_stored(case: Case, tmp_path: Path, goldens: Goldens) -> None:
    result = tried(case, tmp_path / "out")

    goldens.check_text(case.folder / "diagnostics.txt", shown(result))


@for_each_mistake
def test_only_errors_prevent_writing(case: Case, tmp_path: Path) -> None:
    result = tried(case, tmp_path / "out")

    assert result.has_errors == bool(case.options["exit_code"])
    assert (tmp_path / "out").exists() != result.has_errors


@for_each_mistake
def test_every_finding_says_what_would_be_right(case: Case, tmp_path: Path) -> None:
    for finding in tried(case, tmp_path / "out").diagnostics:
        assert finding.hint or "allowed value" in finding.message, finding
        assert not finding.message[0].isspace()
        assert not finding.message.endswith((".", "!", "\n")), finding.message


@pytest.mark.parametrize(
    "case", [case for case in MISTAKES if case.options["exit_code"]], ids=lambda case: case.name
)
def test_an_earlier_build_survives_a_mistake(case: Case, tmp_path: Path) -> None:
    good = next(case for case in all_cases(about_mistakes=False))
    out = tmp_path / "out"
    build(good.specs, BuildOptions(out=out))
    before = read_tree(out)

    tried(case, out)

    assert read_tree(out) == before
