"""The short form of the campaign `live`: every kind of change, and an agent that is killed."""

from __future__ import annotations

import pytest

from tests.campaigns.live import Size, run_sized
from tests.delivery.live import envoy_or_skip

pytestmark = pytest.mark.envoy


def test_no_request_fails_while_everything_changes_and_the_agent_is_killed() -> None:
    envoy_or_skip()

    report = run_sized(
        Size(count=14, requests_per_change=1_500, kill_every=6, overtake_every=5), seed=1
    )

    print(report.text())  # noqa: T201, a zero says nothing without what stands behind it
    assert report.is_clean, report.text()
    assert report.counts["requests failed"] == 0
    assert report.counts["requests answered in all"] >= 21_000
    assert report.counts["changes confirmed"] == 14
    assert report.counts["times the agent was killed"] == 2
    assert report.counts["requests answered on kept connections"] > 5_000
    assert report.counts["requests answered on connections of their own"] > 2_000
    assert report.counts["connections that Envoy closed with notice"] > 0
