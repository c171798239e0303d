"""A mesh that runs: real Envoys on the files of a build, applications behind them, no agents."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from meshc.artifact.store import DirectoryStore
from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.errors import DeliveryError
from meshc.delivery.materialize import materialize
from tests.case import built
from tests.delivery.live import envoy_or_skip, free_ports, until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_APPLICATION = Path(__file__).with_name("application.py")
_DRAIN_S = 2
_END_S = 20


class Process:
    """A program that can be stopped in every way that a program stops."""

    def __init__(self, command: list[str], *, folder: Path, log: Path) -> None:
        self._stream = log.open("ab")
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=self._stream
        )
        self._said = ""

    def await_line(self, text: str) -> None:
        """Wait for the first line of its output."""
        assert self.process.stdout is not None
        self._said = self._said or self.process.stdout.readline().decode().strip()
        assert self._said == text, self._said or "it ended"

    def send(self, which: signal.Signals) -> None:
        self.process.send_signal(which)

    def hang(self) -> None:
        self.send(signal.SIGSTOP)

    def go_on(self) -> None:
        self.send(signal.SIGCONT)

    def end(self, which: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait until it has ended; what hangs is woken first."""
        with contextlib.suppress(ProcessLookupError):
            self.send(which)
            if which is not signal.SIGKILL:
                self.send(signal.SIGCONT)
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._stream.close()


class Running:
    """Hosts by name, each with an Envoy, and applications by name; all end with the block.

    ``specs`` are documents by file name.  Each host's Envoy serves its admin interface at its
    ingress, and writes access logs only where there is a folder for them.  ``edit`` may change
    what a node's Envoy gets, to see what a setting is good for.
    """

    def __init__(
        self,
        folder: Path,
        specs: Mapping[str, str],
        *,
        edit: Any = None,
        program: Path | None = None,
        access_logs: Path | None = None,
    ) -> None:
        self._folder = folder
        self._program = program or envoy_or_skip()
        self.envoys: dict[str, Process] = {}
        self.applications: dict[str, Process] = {}
        source = folder / "specs"
        source.mkdir()
        logs = "enabled: false" if access_logs is None else f"directory: {access_logs}"
        (source / "mesh.yaml").write_text(
            f"name: requests\nxdsDirectory: .\naccessLog: {{{logs}}}\n"
            f"admin: {{host: ingress, port: {free_ports('127.0.0.1', 1)[0]}}}\n"
            f"drainTime: {_DRAIN_S}s\n"
        )
        for name, text in specs.items():
            (source / name).write_text(text)
        built(source, folder / "out")
        store = DirectoryStore(folder / "out")
        self.nodes = tuple(store.manifest().nodes)
        for node in self.nodes:
            home = folder / node
            materialize(store.node(node), home)
            if edit is not None:
                _edit(home, node, edit)

    def __enter__(self) -> Self:
        for node in self.nodes:
            self.start_envoy(node, is_waited_for=False)
        for node in self.nodes:
            self._await_envoy(node)
        return self

    def __exit__(self, *_error: object) -> None:
        for process in (*self.envoys.values(), *self.applications.values()):
            process.end(signal.SIGKILL)

    def admin(self, node: str) -> EnvoyAdmin:
        bootstrap = json.loads((self._folder / node / "bootstrap.json").read_bytes())
        return EnvoyAdmin(AdminAddress.from_bootstrap(bootstrap))

    def start_envoy(self, node: str, *, is_waited_for: bool = True) -> None:
        command = [str(self._program), "-c", "bootstrap.json", "--drain-time-s", str(_DRAIN_S)]
        command += ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        self.envoys[node] = Process(
            command, folder=self._folder / node, log=self._folder / f"{node}.log"
        )
        if is_waited_for:
            self._await_envoy(node)

    def _await_envoy(self, node: str) -> None:
        asked = self.admin(node)

        def is_there() -> bool:
            with contextlib.suppress(DeliveryError):
                return bool(asked.versions().get("listener_manager.lds.version_text"))
            return False

        until(is_there, f"the Envoy of {node}")

    def stop_envoy(self, node: str, which: signal.Signals = signal.SIGTERM) -> None:
        self.envoys.pop(node).end(which)

    def start_application(self, kind: str, place: tuple[str, int], name: str) -> None:
        host, port = place
        command = [sys.executable, str(_APPLICATION), name, str(self._folder / f"{name}.seen")]
        process = Process(
            [*command, "0", f"{kind}={host}:{port}"],
            folder=self._folder,
            log=self._folder / f"{name}.log",
        )
        process.await_line("listening")
        self.applications[name] = process

    def stop_application(self, name: str, which: signal.Signals = signal.SIGTERM) -> None:
        self.applications.pop(name).end(which)

    def seen(self, name: str) -> list[str]:
        """The ids of requests that an application has seen."""
        place = self._folder / f"{name}.seen"
        return place.read_text().split() if place.exists() else []


def _edit(home: Path, node: str, edit: Any) -> None:
    for place in home.rglob("*ds*.json"):
        content = json.loads(place.read_bytes())
        for resource in content["resources"]:
            edit(node, resource)
        place.write_text(json.dumps(content))


class Places:
    """Addresses on one loopback network for a caller and some called hosts of one service."""

    def __init__(self, network: str, *, hosts: int = 2, protocol: str = "HTTP") -> None:
        self._protocol = protocol
        self._caller = f"{network}.1"
        self._hosts = [f"{network}.{number + 2}" for number in range(hosts)]
        self._ports = [free_ports(host, 2) for host in self._hosts]
        ingress, egress = free_ports(self._caller, 2)
        self._ingress = ingress
        self.egress = (self._caller, egress)

    @property
    def applications(self) -> list[tuple[str, int]]:
        """Where each host's application listens."""
        return [(host, ports[1]) for host, ports in zip(self._hosts, self._ports, strict=True)]

    @property
    def ingresses(self) -> list[tuple[str, int]]:
        """Where each host's Envoy accepts calls of others."""
        return [(host, ports[0]) for host, ports in zip(self._hosts, self._ports, strict=True)]

    def specs(self, called: str = "", dependency: str = "") -> dict[str, str]:
        """Documents of a caller, front on c1, and a called service, svc on s1, s2 and so on."""
        hosts = "".join(
            f"- {{name: s{number}, ingressAddr: {{host: {host}, port: {ports[0]}}}, "
            f"substanceAddr: {{host: {host}, port: {ports[1]}}}, egressHost: {host}}}\n"
            for number, (host, ports) in enumerate(
                zip(self._hosts, self._ports, strict=True), start=1
            )
        )
        host, port = self.egress
        return {
            "svc.yaml": f"protocol: {self._protocol}\nhosts:\n{hosts}{called}",
            "front.yaml": "protocol: HTTP\nhosts:\n"
            f"- {{name: c1, ingressAddr: {{host: {host}, port: {self._ingress}}}, "
            f"substanceAddr: {{host: 127.0.0.1, port: 9}}, egressHost: {host}}}\n"
            f"dependentServices:\n- name: svc\n  egressPort: {port}\n{dependency}",
        }
