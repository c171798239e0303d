"""A server that is killed under thousands of streams, at rest and while it pushes, and comes back.

All of them have to be there again soon; whoever has everything is sent nothing, and nobody is
ever sent an empty response, or told that something is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.campaigns.report import Report
from tests.delivery.xds.crowd import Follower, crowd
from tests.delivery.xds.meshes import APP, FRONT, SECOND_HOST, SMALL, make_bundle
from tests.delivery.xds.process import ServeProcess, serving
from tests.delivery.xds.served import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

_NODES = tuple(f"front{number}" for number in range(1, 31))
_ROUTES = {"app": "outbound/app", "store": "outbound/store"}
_TYPES = {CLUSTER: 3, LISTENER: 3, ENDPOINT: 2, ROUTE: 2}
"""How many of each the mesh has for each of the nodes."""
_NEW_HOST = b"127.0.9.3"
_KILLS = 8
_LATEST_S = 0.5
"""A push to thousands takes so long."""
_BACK_S = 30.0
_PATIENCE_S = 120.0


def run(*, count: int, seed: int) -> Report:
    """Kill it at rest, and then at random moments of a push, under so many streams."""
    luck = random.Random(seed)
    moments = [luck.uniform(0, _LATEST_S) for _ in range(_KILLS)]
    return restart(count, moments, seed=seed)


def restart(
    streams: int, moments: Sequence[float], *, seed: int, back_s: float = _BACK_S
) -> Report:
    """Kill it so many seconds after a change; all have to be back within ``back_s``."""
    report = Report(name="restart", seed=seed)
    with (
        tempfile.TemporaryDirectory(prefix="meshc-restart-") as name,
        contextlib.ExitStack() as stack,
    ):
        scene = _Scene(Path(name), stack, report, streams, back_s)
        asyncio.run(scene.play(moments))
    return report


@dataclass(slots=True)
class _Scene:
    """The server of now, and what all clients have to have."""

    folder: Path
    stack: contextlib.ExitStack
    report: Report
    streams: int
    back_s: float
    port: int = field(default_factory=free_port)
    server: ServeProcess | None = None

    async def play(self, moments: Sequence[float]) -> None:
        bundles = _mesh(self.folder / "one", APP), _mesh(self.folder / "two", APP + SECOND_HOST)
        shutil.copytree(bundles[0], self.folder / "out")
        await self._start()
        async with crowd(self.port, _NODES, _ROUTES, streams=self.streams) as followers:
            self._expect(await self._settled(), self.streams * len(_TYPES), "at the start")
            await self._kill()
            await self._start()
            self._expect(await self._settled("at rest"), 0, "back with everything")
            if any(len(one.responses) != len(_TYPES) or one.attempts < 2 for one in followers):
                self.report.violated("somebody was not killed, or was sent something again")
            for number, moment in enumerate(moments):
                has_two = number % 2 == 0
                shutil.rmtree(self.folder / "out")
                shutil.copytree(bundles[has_two], self.folder / "out")
                await self._push_and_kill(moment)
                await self._settled(f"{moment:.2f} s after a change")
                if any((_NEW_HOST in one.endpoints["app"]) is not has_two for one in followers):
                    self.report.violated(f"somebody has old endpoints: kill {number}")
        for one in followers:
            self._check(one)

    async def _start(self) -> None:
        context = serving(self.folder, port=self.port)
        self.server = await asyncio.to_thread(self.stack.enter_context, context)

    async def _push_and_kill(self, moment: float) -> None:
        assert self.server is not None
        self.server.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(moment)
        await self._kill()
        await self._start()

    async def _kill(self) -> None:
        assert self.server is not None
        self.server.process.kill()
        await asyncio.to_thread(self.server.process.wait)
        self.report.count("kills")

    async def _settled(self, when: str = "") -> int:
        """Wait for all streams with everything acknowledged; return the responses that took."""
        assert self.server is not None
        began = time.monotonic()
        found: list[dict[str, Any]] = []
        while len(found) != self.streams or not all(map(_is_settled, found)):
            if time.monotonic() - began > _PATIENCE_S:
                self.report.violated(f"only {len(found)} streams are back")
                break
            await asyncio.sleep(0.1)
            status = await asyncio.to_thread(self.server.status)
            found = status.get("streams", [])
        seconds = time.monotonic() - began
        if when:
            self.report.notes.append(f"killed {when}: all have everything after {seconds:.1f} s")
            if seconds > self.back_s:
                self.report.violated(f"{seconds:.0f} s until all were back")
        return sum(int(one["responses"]) for one in found)

    def _expect(self, responses: int, wanted: int, when: str) -> None:
        if responses != wanted:
            self.report.violated(f"{responses} responses and not {wanted}: {when}")

    def _check(self, one: Follower) -> None:
        for type_url, count, removed in one.responses:
            self.report.count("responses looked at")
            most = _TYPES[type_url]
            is_whole = not one.is_delta and type_url in {CLUSTER, LISTENER}
            if removed or not (most if is_whole else 1) <= count <= most:
                self.report.violated(f"{one.node}: {count} of {type_url}, {removed} removed")


def _mesh(folder: Path, app: str) -> Path:
    hosts = "".join(
        f"- name: {node}\n"
        f"  ingressAddr: {{host: 127.0.8.{number}, port: 8000}}\n"
        f"  substanceAddr: {{host: 127.0.0.1, port: 9000}}\n"
        for number, node in enumerate(_NODES, 1)
    )
    dependencies = FRONT[FRONT.index("dependentServices") :]
    front = f"protocol: HTTP\nhosts:\n{hosts}{dependencies}"
    return make_bundle(folder, SMALL | {"front": front, "app": app})


def _is_settled(stream: dict[str, object]) -> bool:
    types = stream["types"]
    assert isinstance(types, dict)
    return len(types) == len(_TYPES) and all(
        one["state"] == "acknowledged" for one in types.values()
    )
