"""Deliveries under a disk that refuses: the short form of the campaign, and that it can fail."""

from __future__ import annotations

import os

import pytest

from tests.campaigns.disk import refuse
from tests.campaigns.faults import tracing
from tests.campaigns.faults.full_disk import fill_real_disks, why_not_possible
from tests.campaigns.faults.scenarios import BY_NAME
from tests.campaigns.report import Report

SEED = 1


def needs_strace() -> None:
    if reason := tracing.require():
        pytest.skip(reason)


def test_a_refusal_at_every_write_sync_open_and_rename_leaves_the_old_state_and_heals() -> None:
    needs_strace()

    report = refuse(count=240, seed=SEED)

    assert report.is_clean, report.text()
    assert report.counts["errors put in"] >= 240, report.text()
    assert report.counts["reported as the world's fault"] >= 100, report.text()


def test_the_campaign_finds_errors_that_are_swallowed() -> None:
    needs_strace()

    report = refuse(
        count=0,
        seed=SEED,
        scenarios=[BY_NAME["a change"]],
        mutant="swallow the disk",
        stop_at="swallowed",
    )

    assert report.counts["swallowed"] >= 1, report.text()


def test_a_disk_that_is_full_or_read_only_for_a_while_is_told_of_and_healed_from() -> None:
    if reason := why_not_possible():
        if os.environ.get("CI") and os.geteuid() == 0:
            pytest.fail(reason)
        pytest.skip(reason)
    report = Report(name="full disk", seed=SEED)

    fill_real_disks(report)

    assert report.is_clean, report.text()
    assert report.counts == {"real disks that refused under a resident agent, and healed": 3}
