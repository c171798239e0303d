"""The host whose disk it is: its agent's settings, its Envoy, and how it starts."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.prepare import prepare
from meshc.delivery.agent.run import Agent
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.log import Log
from tests.campaigns.blockdevice.nodes import REFUSED, REFUSED_VERSION, SETS
from tests.campaigns.faults import judge
from tests.campaigns.faults.played import PlayedEnvoy
from tests.campaigns.faults.sets import NODE, publish

if TYPE_CHECKING:
    from pathlib import Path

PREPARED, UNPREPARED, ALONE = "prepared", "unprepared", "alone"
STARTS = (PREPARED, UNPREPARED, ALONE)
"""How a host starts: `meshc agent prepare`, Envoy, agent; the same without the first, unless no
Envoy could start; or an agent that nobody answers, and that asks nobody."""
_TOLD = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a start has come to, and what was wrong meanwhile."""

    verdict: str
    log: str
    problems: tuple[str, ...]

    @property
    def told(self) -> str:
        return f"{self.verdict}: {self.log[-_TOLD:]}"


def settings_for(root: Path, work: Path, goal: str, **more: Any) -> AgentSettings:
    """Settings of the agent whose target and state lie on a disk, with a set as its source."""
    return AgentSettings(
        node=NODE,
        source=str(work / "out" / goal),
        target=root / "target",
        state=root / "state",
        admin=f"unix:{work / 'admin.sock'}",
        envoy="none",
        allow_shrink=True,
        unconfirmed_wait=0.0,
        **more,
    )


def publish_all(work: Path) -> None:
    """Make a source of every set."""
    for name, files in SETS.items():
        publish(files, work / "out" / name)


def played_envoy(root: Path, work: Path) -> PlayedEnvoy:
    """An Envoy on the target, not started yet."""
    envoy = PlayedEnvoy(root / "target", work / "admin.sock")
    envoy.refuses = frozenset({REFUSED_VERSION})
    return envoy


def run_once(settings: AgentSettings) -> tuple[str, str]:
    """Run the agent once; returns what it came to, and its log."""
    said = io.StringIO()
    with Agent(settings, Log(said), is_resident=False) as agent:
        return agent.once().name, said.getvalue()


def start_host(root: Path, work: Path, goal: str, how: str) -> Started:
    """Start Envoy and the agent, as a host does when its power is back."""
    is_alone = how == ALONE and goal != REFUSED  # nobody would say that it is refused
    settings = settings_for(root, work, goal, unconfirmed=is_alone)
    problems: list[str] = []
    if not is_alone and (how == PREPARED or judge.dangling(judge.files_in(root / "target"))):
        prepare(settings)
        problems += judge.dangling(judge.files_in(root / "target"))
    with played_envoy(root, work) as envoy:
        if not is_alone:
            envoy.start()
        verdict, log = run_once(settings)
        problems += envoy.served_wrongly
    return Started(verdict=verdict, log=log, problems=tuple(problems))
