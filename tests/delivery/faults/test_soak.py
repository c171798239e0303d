"""An agent that works all the time: the short form of the campaign, and proof that it can fail."""

from __future__ import annotations

import random

import pytest

from tests.campaigns.load.held import by_tenths, growth_of
from tests.campaigns.load.leaks import program_with
from tests.campaigns.soak import Size, soak
from tests.delivery.live import envoy_or_skip

SEED = 1


@pytest.mark.envoy
def test_an_agent_that_delivers_all_the_time_holds_no_more_for_it() -> None:
    envoy_or_skip()

    report = soak(Size(changes=28, per_second=5, settle_every=2, aside_every=6), seed=SEED)

    assert report.is_clean, report.text()
    assert report.counts["deliveries"] >= 14, report.text()
    assert report.counts["samples"] == 28, report.text()
    assert report.counts["scrapes"] == 5, report.text()
    for aside in (
        "changes refused by Envoy and taken back",
        "pauses",
        "times the source was away",
        "times Envoy was started anew",
    ):
        assert report.counts[aside] == 1, report.text()


@pytest.mark.envoy
def test_the_campaign_finds_what_is_never_let_go() -> None:
    envoy_or_skip()

    report = soak(
        Size(changes=40, per_second=8, settle_every=1, look_every=100, aside_every=100),
        seed=SEED,
        program=program_with("memory", "descriptors", "threads"),
        flags=("--envoy", "none"),
    )

    found = {violation.partition(":")[0] for violation in report.violations}
    assert found == {"memory", "descriptors", "threads"}, report.text()


def test_what_comes_and_goes_is_no_growth() -> None:
    draw = random.Random(SEED)

    growth = growth_of([20.0 + draw.choice((0, 0, 0, 3, 9)) for _ in range(3000)])

    assert abs(growth) < 0.5


@pytest.mark.parametrize("count", [80, 1000, 10_000])
def test_a_slope_below_the_noise_is_seen(count: int) -> None:
    draw = random.Random(SEED)

    growth = growth_of([100 + 8 * at / count + draw.choice((0, 0, 0, 5)) for at in range(count)])

    assert 2 < growth < 6  # of the second half


def test_a_few_steps_in_a_long_run_are_a_slope() -> None:
    assert growth_of([5 + at // 1250 for at in range(10_000)]) > 1


def test_what_is_taken_while_everything_warms_up_does_not_count() -> None:
    assert growth_of([*range(100), *[100] * 100]) == 0


def test_tenths_of_a_run_show_whether_it_still_grows() -> None:
    assert by_tenths([*range(5), *[5] * 5, 5, 6, 7]) == [0, 1, 2, 3, 4, 5, 5, 5, 5, 5]
    assert by_tenths([at // 100 for at in range(1000)]) == [*range(10)]
