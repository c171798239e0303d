"""An agent that is stopped and goes on: the campaign's short form, and proof that it can fail."""

from __future__ import annotations

import signal

import pytest

from tests.campaigns.freeze import BUSY, IDLE, freeze
from tests.delivery.live import envoy_or_skip

pytestmark = pytest.mark.envoy
SEED = 1


def test_after_a_stop_the_agent_comes_to_the_newest_generation_in_one_step() -> None:
    envoy_or_skip()

    report = freeze({IDLE: 2.0, BUSY: 1.0}, seed=SEED, per_second=8)

    assert report.is_clean, report.text()
    assert report.counts["generations skipped"] >= 2, report.text()
    assert 2 <= report.counts["deliveries afterwards"] <= 3, report.text()


def test_the_campaign_finds_an_agent_that_delivers_one_after_the_other() -> None:
    envoy_or_skip()

    report = freeze({IDLE: 3.0}, seed=SEED, per_second=2, number=signal.SIGCONT)

    assert any(text.startswith("it was not stopped") for text in report.violations), report.text()
