"""A mesh of specs, and one host of it with its agent and its Envoy; nobody sends requests yet.

Each change is built as `meshc build` does it into the folder that the agent follows.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any

from meshc.artifact.store import DirectoryStore
from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.pipeline import BuildOptions, build
from tests.campaigns.load.host import PROGRAM, Agent, ask_admin, envoy, wait_until
from tests.campaigns.load.mesh import NODE, SERVERS, Drawing, Mesh, Places
from tests.campaigns.load.servers import servers_bootstrap
from tests.delivery.live import free_ports, get

if TYPE_CHECKING:
    import random
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.campaigns.report import Report

_MOST_ASKED = 500


class Scene:
    """Everything that runs, and the specs as they are now; what is started goes with ``stack``.

    ``network`` are the first three numbers of the addresses that it listens at.
    """

    def __init__(
        self,
        folder: Path,
        stack: contextlib.ExitStack,
        draw: random.Random,
        *,
        network: str,
        drain_s: int = 2,
        program: tuple[str, ...] = PROGRAM,
        flags: tuple[str, ...] = (),
    ) -> None:
        self.kinds: Counter[str] = Counter()
        """How often each kind of change was made."""
        self._drawing = Drawing(draw)
        self._stack = stack
        self._drain_s = drain_s
        self._specs, self.out = folder / "specs", folder / "out"
        self.target, self._logs = folder / "envoy", folder / "logs"
        for place in (self._specs, self.target, self._logs, folder / "servers"):
            place.mkdir()
        self.places = _places(f"{network}.1", f"{network}.2")
        self.mesh = Mesh(places=self.places, logs=self._logs, drain_s=drain_s)
        servers_admin = (f"{network}.2", free_ports(f"{network}.2", 1)[0])
        (folder / "servers" / "bootstrap.json").write_bytes(
            servers_bootstrap(self.places.servers, servers_admin)
        )
        stack.enter_context(envoy(folder / "servers", servers_admin, workers=1, drain_s=drain_s))
        self.agent = Agent(self.out, self.target, folder / "state", program=program, flags=flags)
        self.published = self._publish()
        stack.callback(self.agent.kill)
        self.agent.start()
        wait_until((self.target / "lds.json").exists, "files for Envoy")
        self._run_envoy()
        self.agent.await_confirmed(self.published)

    def _run_envoy(self) -> None:
        self._envoy_held = self._stack.enter_context(contextlib.ExitStack())
        self.envoy: subprocess.Popen[bytes] = self._envoy_held.enter_context(
            envoy(self.target, self.places.admin, workers=2, drain_s=self._drain_s)
        )

    def restart_envoy(self) -> None:
        """End the host's Envoy and start another one on what lies there."""
        self._envoy_held.close()
        self._run_envoy()

    def change(self) -> None:
        """Change the specs, whatever the drawing says comes next."""
        self.kinds[self._drawing.change(self.mesh)] += 1

    def publish(self) -> None:
        """Build what the specs say now, where it differs from what was built before."""
        published = self._publish()
        assert published != self.published, "the change changes nothing"
        self.published = published

    def _publish(self) -> str:
        """Build the specs; returns how the agent names what the node gets."""
        self.mesh.write(self._specs)
        result = build(self._specs, BuildOptions(out=self.out))
        assert not result.has_errors, result.diagnostics
        return generation_of(digests_of(DirectoryStore(self.out).node(NODE).files))

    def look(self, report: Report) -> None:
        """See from outside that what was confirmed is so."""
        for problem in self._wrong():
            report.violated(problem)
        versions = _versions(self.places.admin)
        for kind, name in (("cds", "cluster_manager.cds"), ("lds", "listener_manager.lds")):
            built = json.loads((self.out / "nodes" / NODE / f"{kind}.json").read_bytes())
            on_disk = json.loads((self.target / f"{kind}.json").read_bytes())
            said = versions[f"{name}.version_text"]
            if said != on_disk["version_info"]:
                report.violated(f"Envoy runs another {kind}.json than lies on disk")
            if on_disk["version_info"] != built["version_info"]:
                report.count(f"times {kind}.json was left wider, for connections that drain")

    def _wrong(self) -> Iterator[str]:
        for address, expected in self.mesh.expected().items():
            seen: set[str] = set()
            for _ in range(_MOST_ASKED):
                seen.add(get(address))
                if seen >= expected:
                    break
            if seen != expected:
                yield f"{address} answers {sorted(seen)}, not {sorted(expected)}"
        for address in self.mesh.closed():
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(address, timeout=5).close()
                yield f"somebody still listens at {address}"

    def conclude(self, report: Report) -> None:
        """Write down what was changed, and what nobody may have said or done in all that time."""
        for kind, count in sorted(self.kinds.items()):
            report.count(f"  {kind}", count)
        if self.envoy.poll() is not None:
            report.violated("Envoy has ended")
        errors = [word for word in self.agent.words() if word.get("level") == "error"]
        for word in errors[:5]:
            report.violated(f"the agent's log: {word}")

    def empty_logs(self) -> None:
        """Let access logs take no room; Envoy appends to them."""
        for log in self._logs.iterdir():
            log.write_bytes(b"")


def _versions(admin: tuple[str, int]) -> dict[str, Any]:
    found = json.loads(ask_admin(admin, "/stats?format=json&type=TextReadouts"))
    return {one["name"]: one["value"] for one in found["stats"]}


def _places(host: str, servers_host: str) -> Places:
    ports = free_ports(host, 6)
    admin, ingress, app, store, *extra = ((host, port) for port in ports)
    servers = zip(SERVERS, free_ports(servers_host, len(SERVERS)), strict=True)
    return Places(
        servers={name: (servers_host, port) for name, port in servers},
        admin=admin,
        ingress=ingress,
        app=app,
        store=store,
        extra=(extra[0], extra[1]),
    )
