"""What a running server logs, each thing once, and how systemd hears that it is alive."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from meshc.delivery.notify import notify, watchdog_interval_s
from meshc.delivery.xds.protocol.types import SHORT_NAMES
from meshc.delivery.xds.services.refusals import refusals
from meshc.delivery.xds.transport.memory import collect_memory

if TYPE_CHECKING:
    from meshc.delivery.log import Log
    from meshc.delivery.xds.process.run import Serving
    from meshc.delivery.xds.protocol.types import TypeUrl
    from meshc.delivery.xds.settings import ServeSettings

_LOOK_S = 1.0
_COLLECT_S = 5.0
STALL_S = 1.0
"""Nobody is answered while the event loop is busy with one thing; this long is worth a line."""


class Reporter:
    """Looks at a server and logs what has changed since the last look."""

    def __init__(self, serving: Serving, journal: Log) -> None:
        self._serving = serving
        self._journal = journal
        self._seen = _shown(serving)
        self._collected_at = -_COLLECT_S
        self._refusals: dict[tuple[str, TypeUrl], str] = {}

    async def run(self) -> None:
        """Look once a second, for ever."""
        interval = min(_LOOK_S, watchdog_interval_s() or _LOOK_S)
        while True:
            before = time.monotonic()
            await asyncio.sleep(interval)
            late = time.monotonic() - before - interval
            notify(WATCHDOG="1")
            try:
                self.look()
            except Exception as error:  # noqa: BLE001, the next look may be a better one
                reason = f"{type(error).__name__}: {error}"
                self._journal.error("internal error", reason=reason)
            if late > STALL_S:
                self._serving.facts.stalls += 1
                self._journal.warn("stalled", seconds=late)

    def look(self) -> None:
        """Log what has changed."""
        before, self._seen = self._seen, _shown(self._serving)
        switches, problem, certificates, memory = self._seen
        bundles = self._serving.bundles
        if switches != before[0] and bundles is not None:
            self._journal.info("switched", generation=bundles.generation[:12])
        self._tell("source", before[1], problem)
        self._tell("certificates", before[2], certificates)
        self._tell("memory", before[3], memory)
        if memory:
            self._collect()
        if self._seen[1:] != before[1:]:
            found = problem or certificates or memory
            notify(STATUS=found or serving_on(self._serving.settings))
        self._look_for_refusals()
        for one in self._serving.hub.strangers.news():
            self._journal.warn("denied", node=one.node, address=one.address, reason=one.reason)
        for one in self._serving.server.connections.room.handshakes.news():
            self._journal.warn("handshake", address=one.address, reason=one.reason)

    def _tell(self, event: str, before: str, problem: str) -> None:
        if problem and problem != before:
            self._journal.warn(event, problem=problem)
        elif before and not problem:
            self._journal.info(f"{event} well again")

    def _collect(self) -> None:
        now = time.monotonic()
        if now - self._collected_at >= _COLLECT_S:
            self._collected_at = now
            collect_memory()

    def _look_for_refusals(self) -> None:
        found = {}
        for one in refusals(self._serving.hub):
            found[one.node, one.type_url] = one.reason
            if self._refusals.get((one.node, one.type_url)) != one.reason:
                self._journal.warn(
                    "refused",
                    node=one.node,
                    type=SHORT_NAMES.get(one.type_url, one.type_url),
                    reason=one.reason,
                    resource=one.resource,
                    place=one.place,
                )
        self._refusals = found


def _shown(serving: Serving) -> tuple[int, str, str, str]:
    facts = serving.facts
    return facts.switches, facts.problem, facts.certificate_problem, serving.memory_problem


def serving_on(settings: ServeSettings) -> str:
    """Say where a server serves, for whoever asks systemd."""
    return f"serving on {settings.listen}"
