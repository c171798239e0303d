"""Deliveries that are killed: the short form of the campaign, and proof that it can fail."""

from __future__ import annotations

import pytest

from tests.campaigns.faults import tracing
from tests.campaigns.faults.real import kill_under_real_envoy
from tests.campaigns.faults.scenarios import BY_NAME
from tests.campaigns.kill import kill_played
from tests.campaigns.report import Report
from tests.delivery.live import envoy_or_skip

SEED = 1


@pytest.fixture(autouse=True)
def _needs_strace() -> None:
    if reason := tracing.require():
        pytest.skip(reason)


def test_500_kills_leave_nothing_torn_or_mixed_and_every_restart_converges() -> None:
    report = kill_played(count=500, seed=SEED)

    assert report.is_clean, report.text()
    at_calls = report.counts["kills at a system call"]
    at_random = report.counts["kills at a random moment"]
    assert at_calls + at_random >= 500, report.text()
    assert at_calls >= 200, report.text()


@pytest.mark.envoy
def test_kills_under_a_real_envoy_lose_no_request_and_end_confirmed() -> None:
    envoy_or_skip()
    report = Report(name="kill under a real Envoy", seed=SEED)

    kill_under_real_envoy(report, count=10, seed=SEED)

    assert report.is_clean, report.text()
    assert report.counts["kills under a real Envoy"] >= 5, report.text()
    assert report.counts["requests served by the real Envoy meanwhile"] >= 200, report.text()


@pytest.mark.parametrize(
    ("mutant", "scenario", "found"),
    [
        ("write in place", "a change", "torn"),
        ("swap all together", "a change", "mixed"),
        ("remember no intent", "a change", "not converged"),
    ],
)
def test_the_campaign_finds_a_mistake_made_on_purpose(
    mutant: str, scenario: str, found: str
) -> None:
    report = kill_played(
        count=150,
        seed=SEED,
        mutant=mutant,
        scenarios=[BY_NAME[scenario]],
        stop_at=found,
    )

    assert report.counts[found] >= 1, report.text()
