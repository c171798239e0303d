"""When the agent forgets old generations: never while another job writes a new one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.run import Agent
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.log import Log
from tests.artifact.bundles import OLD

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_old_generations_are_forgotten_before_the_next_job_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    OLD.write(tmp_path / "out")
    target = tmp_path / "target"
    settings = AgentSettings(
        node="a", source=str(tmp_path / "out"), target=target, state=target / ".agent"
    )
    done: list[str] = []
    with Agent(settings, Log(is_json=False), is_resident=True) as agent:
        monkeypatch.setattr(agent, "_forget", lambda: done.append("forget"))
        monkeypatch.setattr(agent, "_act", lambda action: done.append(type(action).__name__))
        at = time.monotonic()
        agent._take(ev.Started(at=at, is_whole=True))
        agent._take(ev.Fetched(at=at, generation="g1"))
        agent._take(ev.Passed(at=at, generation="g1"))
        agent._take(ev.SourceChanged(at=at + 1))

        agent._take(ev.Delivered(at=at + 2, generation="g1", is_accepted=True))

    assert done[-2:] == ["forget", "Fetch"]
