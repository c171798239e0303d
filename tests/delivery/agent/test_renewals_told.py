"""Endpoints that change are told of, and a check that flaps fills no history."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.generations import Generations
from meshc.delivery.agent.history import read_history
from meshc.delivery.agent.ledger import Ledger
from meshc.delivery.agent.reporter import Reporter
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.state import Rhythm, State
from meshc.delivery.log import Log

if TYPE_CHECKING:
    from pathlib import Path

AFTER = State(rhythm=Rhythm(), ledger=Ledger(good="a", is_accepted=True))
BEFORE = replace(AFTER, job=ev.Deliver(generation="a", is_renewal=True))


def test_changes_are_counted_for_a_while_before_the_history_has_another_line(
    tmp_path: Path,
) -> None:
    settings = AgentSettings(node="n", source="s", target=tmp_path, state=tmp_path)
    log = io.StringIO()
    reporter = Reporter(settings, Log(log), Generations(tmp_path, "n"), is_resident=False)

    for at in (1.0, 2.0, 3.0, 60.0, 61.5, 62.0):
        told = ev.Delivered(at=at, generation="a", endpoints=f"app for front: {at:.0f} of 99")
        reporter.saw(told, BEFORE, AFTER)
    silent = ev.Delivered(at=300.0, generation="a", has_changed=False)
    reporter.saw(silent, BEFORE, AFTER)

    lines = read_history(tmp_path, 100)
    assert [(one["what"], one["endpoints"], one["times"]) for one in lines] == [
        ("endpoints changed", "app for front: 1 of 99", 1),
        ("endpoints changed", "app for front: 62 of 99", 4),
    ]
    assert log.getvalue().count('event="endpoints changed"') == 6
    assert reporter.metrics.endpoint_changes == 6
    assert reporter.metrics.nudges == 0
    assert reporter.metrics.deliveries["delivered"] == 0
