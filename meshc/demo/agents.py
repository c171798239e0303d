"""Files, brought by an agent on every host."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.prepare import prepare
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.status import read_status

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.artifact.store import NodeBundle
    from meshc.demo.channel import Places, Wanted
    from meshc.demo.processes import Processes

_STUCK = ("quarantined", "held", "failing", "envoy-down")
"""States of an agent in which somebody has to act before it goes on."""


class Agents:
    """An agent for each host."""

    programs = "Envoy, agent, application"
    is_first = False

    def __init__(self, places: Places, processes: Processes) -> None:
        self._places = places
        self._processes = processes

    def open(self) -> None:
        """Agents share nothing but the folder."""

    def equip(self, bundle: NodeBundle) -> None:
        """Write the files; the build was judged by the same Envoy already."""
        prepare(self._settings(bundle.node, self._places.built))

    def attend(self, node: str) -> None:
        """Start the agent."""
        told = self._settings(node, self._places.published)
        command = [
            *(sys.executable, "-m", "meshc", "agent", "run"),
            *("--node", node, "--source", told.source, "--target", str(told.target)),
            *("--envoy", told.envoy),
        ]
        self._processes.start("agent", node, command, self._places.host(node))

    def is_delivered(self, node: str, wanted: Wanted) -> bool:
        """Whether the agent says that Envoy runs this."""
        status = self._status(node)
        delivered = status.get("delivered")
        if not delivered or not status["confirmed"]:
            return False
        return bool(delivered["generation"] == wanted.nodes[node])

    def problem_of(self, node: str, wanted: Wanted) -> str:
        """Return what the agent says where it is stuck at this."""
        status = self._status(node)
        desired = status.get("desired") or {}
        if status.get("state") in _STUCK and desired.get("generation") == wanted.nodes[node]:
            return self.say_of(node)
        return ""

    def say_of(self, node: str) -> str:
        """Return the first line of the agent's status."""
        said = self._status(node).get("summary", "nothing so far")
        return f"{node}'s agent says: {said}"

    def commands(self, node: str) -> tuple[str, ...]:
        """Return what can be asked of the agent."""
        place = self._places.host(node)
        return (
            f"meshc agent status --target {place}",
            f"look into {place}      Envoy's files, the logs of both",
        )

    def _settings(self, node: str, source: Path) -> AgentSettings:
        target = self._places.host(node)
        return AgentSettings(
            node=node, source=str(source), target=target, state=target / ".agent", envoy="none"
        )

    def _status(self, node: str) -> dict[str, Any]:
        return read_status(self._settings(node, self._places.published).state) or {}
