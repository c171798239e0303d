"""A server that is killed and started again under many streams: the campaign's short form."""

from __future__ import annotations

from tests.campaigns.restart import restart

_STREAMS = 300
_KILLED_AFTER_S = (0.0, 0.02, 0.1)
"""A push to so many takes about a tenth of a second."""
_PATIENCE_S = 60.0


def test_many_streams_come_back_to_a_server_that_was_killed() -> None:
    report = restart(_STREAMS, _KILLED_AFTER_S, seed=1, back_s=_PATIENCE_S)

    assert report.is_clean, report.text()
    assert report.counts["kills"] == 1 + len(_KILLED_AFTER_S)
    assert report.counts["responses looked at"] >= 4 * _STREAMS


def test_the_campaign_finds_streams_that_are_late() -> None:
    [violation] = restart(3, (), seed=1, back_s=0.0).violations

    assert violation.endswith("until all were back")
