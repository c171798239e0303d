"""Real disks that fill up under a resident agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.campaigns.report import Report


def fill_real_disks(report: Report) -> None:
    """Fill."""
