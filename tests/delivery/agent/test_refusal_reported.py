"""What the agent says of a refusal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.generations import Generations
from meshc.delivery.agent.history import read_history
from meshc.delivery.agent.ledger import Ledger, Refusal
from meshc.delivery.agent.reporter import Reporter
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.state import Rhythm, State
from meshc.delivery.log import Log

if TYPE_CHECKING:
    from pathlib import Path


def test_a_refusal_is_in_the_history_and_the_last_error_with_its_reason(tmp_path: Path) -> None:
    settings = AgentSettings(node="n", source="s", target=tmp_path, state=tmp_path)
    store = Generations(tmp_path, "n")
    reporter = Reporter(settings, Log(io.StringIO()), store, is_resident=False)
    state = State(rhythm=Rhythm(), ledger=Ledger())
    refusal = Refusal(reason="port is taken", resource="to-b", path="lds.json", at=5.0)

    reporter.saw(ev.Rejected(at=1.0, generation="g", refusal=refusal), state, state)

    assert reporter.shown.last_error == {
        "at": 5.0,
        "reason": "port is taken",
        "path": "lds.json",
        "resource": "to-b",
        "place": "",
    }
    assert [(one["what"], one["reason"]) for one in read_history(tmp_path, 9)] == [
        ("rejected", "port is taken")
    ]
