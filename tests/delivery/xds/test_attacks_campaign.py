"""Attacks one after the other: the campaign's short form, and proof that it can fail."""

from __future__ import annotations

from tests.campaigns.attack import QUIET, attack
from tests.campaigns.crowds import MANY

_KINDS = {QUIET: 0.0, "pings": 0.5, "windows without room": 0.5} | dict.fromkeys(MANY, 0.5)
_PATIENCE_S = 60.0


def test_others_are_answered_under_attack() -> None:
    report = attack(_KINDS, seed=1, late_s=_PATIENCE_S, share=0.02)

    assert report.is_clean, report.text()
    assert report.counts["answers to others"] >= 2 * len(_KINDS), report.text()
    assert report.counts["connections turned away"] > 0, report.text()
    assert len(report.notes) == len(_KINDS), report.text()


def test_the_campaign_finds_that_others_wait() -> None:
    [violation] = attack({QUIET: 0.0}, seed=1, late_s=0.0).violations

    assert violation.startswith("others wait for")
