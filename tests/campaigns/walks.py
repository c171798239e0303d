"""Random clients of the protocol, one walk after the other, for a million steps."""

from __future__ import annotations

from tests.campaigns.report import Report
from tests.delivery.xds.walks import STEPS, walk


def run(*, count: int, seed: int) -> Report:
    """Take so many steps, over both variants of the protocol in turn."""
    report = Report(name="walks", seed=seed)
    for number in range(max(1, count // STEPS)):
        is_delta = number % 2 == 1
        start = seed + number // 2
        try:
            walk(start, is_delta=is_delta)
        except AssertionError as error:
            said = str(error).partition("\n")[0]
            variant = "delta" if is_delta else "state of the world"
            report.violated(f"walk {start}, {variant}: {said}")
        report.count("steps", STEPS)
        report.count("walks")
    return report
