"""Benchmarks measure what they say: what is touched meanwhile is what should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.figures import Bench, nothing_changed, one_host_changed
from benchmarks.measure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    found = Bench(scratch=tmp_path_factory.mktemp("bench"), services=120, repeats=1)
    found.prepare()
    return found


@pytest.mark.parametrize("measure", [nothing_changed, one_host_changed])
def test_a_figure_is_about_what_it_says(
    bench: Bench, measure: Callable[[Bench], Iterator[Figure]]
) -> None:
    (figure,) = measure(bench)

    assert figure.is_sound, figure.details


def test_a_figure_whose_side_condition_fails_is_neither_sound_nor_met() -> None:
    figure = Figure(name="push", unit="ms", value=1.0, limit=2.0, details="!3 streams were lost")

    assert (figure.is_sound, figure.is_met) == (False, False)
