"""Changes under a running load: real specs, the real build, agent, Envoy; the agent is killed.

Each change is built as `meshc build` does it into the folder that the agent follows, and counts
once the agent says that Envoy has confirmed it and answers come from where the specs say.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshc.artifact.store import DirectoryStore
from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.pipeline import BuildOptions, build
from tests.campaigns.load.generator import LoadProcess, Tally
from tests.campaigns.load.host import LIMIT_S, Agent, ask_admin, envoy
from tests.campaigns.load.mesh import NODE, SERVERS, Drawing, Mesh, Places
from tests.campaigns.load.servers import servers_bootstrap
from tests.campaigns.report import Report
from tests.delivery.live import free_ports, get

if TYPE_CHECKING:
    import subprocess

    from tests.campaigns.load.generator import Target

_HOST, _SERVERS_HOST = "127.0.43.1", "127.0.43.2"
_DRAIN_S = 2
_LATEST_KILL_S = 0.8
_LATE_KILLS = 0.7
_BEGIN_LIMIT_S = 3.0
_SOON_S = 0.05
_LATEST_SECOND_S = 1.0
_MOST_ASKED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of it: the campaign's own numbers unless somebody says otherwise."""

    count: int
    requests_per_change: int = 3_400
    kill_every: int = 20
    overtake_every: int = 9
    """A second change follows while this one is on its way."""
    rate: float = 6_000.0


def run(*, count: int, seed: int) -> Report:
    """Make changes under load; 300 of them see more than a million requests."""
    return run_sized(Size(count=count), seed=seed)


def run_sized(size: Size, *, seed: int) -> Report:
    """Make changes under load, with other numbers."""
    report = Report(name="live", seed=seed)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshc-live-")))
        scene = _Scene(folder, stack, size, random.Random(seed), report)
        started = time.monotonic()
        try:
            scene.change_all()
        except (AssertionError, OSError, http.client.HTTPException) as error:
            report.violated(f"the run ended early: {error}")
        scene.conclude(time.monotonic() - started)
    return report


class _Scene:
    """Everything that runs, and the specs as they are now."""

    def __init__(
        self,
        folder: Path,
        stack: contextlib.ExitStack,
        size: Size,
        draw: random.Random,
        report: Report,
    ) -> None:
        self._size = size
        self._draw = draw
        self._drawing = Drawing(draw)
        self._kinds: Counter[str] = Counter()
        self._report = report
        self._specs, self._out = folder / "specs", folder / "out"
        self._target, self._logs = folder / "envoy", folder / "logs"
        for place in (self._specs, self._target, self._logs, folder / "servers"):
            place.mkdir()
        self._places = _places()
        self._mesh = Mesh(places=self._places, logs=self._logs)
        servers_admin = (_SERVERS_HOST, free_ports(_SERVERS_HOST, 1)[0])
        (folder / "servers" / "bootstrap.json").write_bytes(
            servers_bootstrap(self._places.servers, servers_admin)
        )
        stack.enter_context(envoy(folder / "servers", servers_admin, workers=1, drain_s=_DRAIN_S))
        self._agent = Agent(self._out, self._target, folder / "state")
        self._published = self._publish()
        stack.callback(self._agent.kill)
        self._agent.start()
        _await_file(self._target / "lds.json")
        self._envoy: subprocess.Popen[bytes] = stack.enter_context(
            envoy(self._target, self._places.admin, workers=2, drain_s=_DRAIN_S)
        )
        self._agent.await_confirmed(self._published)
        self._load = stack.enter_context(LoadProcess(size.rate))
        self._asked: list[Target] = []
        self._ask(self._mesh.targets())
        self._load.reach(100)

    def change_all(self) -> None:
        """Make all changes, one after the other; the load never pauses."""
        for number in range(1, self._size.count + 1):
            begun_with = self._load.tally().total
            self._change()
            if number % self._size.kill_every == 0:
                self._kill()
            elif number % self._size.overtake_every == 0:
                time.sleep(self._draw.random() * _LATEST_SECOND_S)
                self._change()
                self._report.count("  with a second one while the first was on its way")
            self._agent.await_confirmed(self._published)
            self._report.count("changes confirmed")
            self._look()
            self._ask(self._mesh.targets())
            self._load.reach(begun_with + self._size.requests_per_change)
            for log in self._logs.iterdir():
                log.write_bytes(b"")  # Envoy appends

    def conclude(self, seconds: float) -> None:
        """Write down what happened."""
        report = self._report
        tally = self._load.tally()
        for kind, count in sorted(self._kinds.items()):
            report.count(f"  {kind}", count)
        _tell(report, tally)
        confirmed = report.counts.get("changes confirmed", 0)
        report.notes.append(
            f"{tally.total / seconds:,.0f} requests/s, {confirmed / seconds:.2f} changes/s"
        )
        least = self._size.count * self._size.requests_per_change
        if confirmed < self._size.count or tally.total < least:
            report.violated(f"too little was done: fewer than {least:,} requests, or changes")
        if self._envoy.poll() is not None:
            report.violated("Envoy has ended")
        refusals = self._agent.status().get("quarantine")
        if refusals:
            report.violated(f"refused: {refusals}")
        errors = [word for word in self._agent.words() if word.get("level") == "error"]
        for word in errors[:5]:
            report.violated(f"the agent's log: {word}")

    def _change(self) -> None:
        self._kinds[self._drawing.change(self._mesh)] += 1
        # Listeners that go are asked no longer; those that come are asked once they are there.
        self._ask([one for one in self._mesh.targets() if one in self._asked])
        published = self._publish()
        assert published != self._published, "the change changes nothing"
        self._published = published

    def _kill(self) -> None:
        """Kill the agent, at any moment or soon after it has begun to deliver; start it again."""
        is_late = self._draw.random() < _LATE_KILLS
        end = time.monotonic() + _BEGIN_LIMIT_S
        while is_late and not self._agent.has_begun() and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(self._draw.random() * (_SOON_S if is_late else _LATEST_KILL_S))
        self._agent.kill()
        self._report.count("times the agent was killed")
        self._report.count("  in the midst of a delivery", self._agent.has_begun())
        self._agent.start()

    def _ask(self, targets: list[Target]) -> None:
        self._load.ask_only(targets)
        self._asked = targets

    def _publish(self) -> str:
        """Build the specs; returns how the agent names what the node gets."""
        self._mesh.write(self._specs)
        result = build(self._specs, BuildOptions(out=self._out))
        assert not result.has_errors, result.diagnostics
        return generation_of(digests_of(DirectoryStore(self._out).node(NODE).files))

    def _look(self) -> None:
        """See from outside that what was confirmed is so."""
        for address, expected in self._mesh.expected().items():
            seen: set[str] = set()
            for _ in range(_MOST_ASKED):
                seen.add(get(address))
                if seen >= expected:
                    break
            if seen != expected:
                self._report.violated(f"{address} answers {sorted(seen)}, not {sorted(expected)}")
        for address in self._mesh.closed():
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(address, timeout=5).close()
                self._report.violated(f"somebody still listens at {address}")
        versions = _versions(self._places.admin)
        for kind, name in (("cds", "cluster_manager.cds"), ("lds", "listener_manager.lds")):
            built = json.loads((self._out / "nodes" / NODE / f"{kind}.json").read_bytes())
            on_disk = json.loads((self._target / f"{kind}.json").read_bytes())
            said = versions[f"{name}.version_text"]
            if said != on_disk["version_info"]:
                self._report.violated(f"Envoy runs another {kind}.json than lies on disk")
            if on_disk["version_info"] != built["version_info"]:
                self._report.count(f"times {kind}.json was left wider, for connections that drain")


def _tell(report: Report, tally: Tally) -> None:
    for kind, what in (
        ("kept", "requests answered on kept connections"),
        ("new", "requests answered on connections of their own"),
        ("slow", "requests answered that took 0.2 s"),
    ):
        report.count(what, tally.done[kind])
    report.count("requests answered in all", tally.total)
    report.count("requests failed", tally.failed)
    report.count("connections that Envoy closed with notice", tally.announced)
    for told in tally.told:
        report.violated(told)
    if tally.failed > len(tally.told):
        report.violated(f"and {tally.failed - len(tally.told)} more failed requests")


def _versions(admin: tuple[str, int]) -> dict[str, Any]:
    found = json.loads(ask_admin(admin, "/stats?format=json&type=TextReadouts"))
    return {one["name"]: one["value"] for one in found["stats"]}


def _places() -> Places:
    ports = free_ports(_HOST, 6)
    admin, ingress, app, store, *extra = ((_HOST, port) for port in ports)
    servers = zip(SERVERS, free_ports(_SERVERS_HOST, len(SERVERS)), strict=True)
    return Places(
        servers={name: (_SERVERS_HOST, port) for name, port in servers},
        admin=admin,
        ingress=ingress,
        app=app,
        store=store,
        extra=(extra[0], extra[1]),
    )


def _await_file(path: Path) -> None:
    end = time.monotonic() + LIMIT_S
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path} does not come")
        time.sleep(0.01)
