"""A caller and the hosts that it calls, each with two Envoys, ours and a plain one, and an agent.

host0 calls; the others each run one application for all services.  Our Envoy of host0 gets its
files from an agent, the others have theirs from the start.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshc.artifact.store import DirectoryStore
from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.agent.status import read_status
from meshc.delivery.drain import drain
from meshc.delivery.errors import DeliveryError
from meshc.delivery.materialize import materialize
from meshc.pipeline import BuildOptions, build
from tests.campaigns.load.host import wait_until
from tests.campaigns.outages import plain
from tests.delivery.live import envoy_or_skip
from tests.requests.running import Process

if TYPE_CHECKING:
    from tests.campaigns.outages.network import Host, Network

_ROOT = Path(__file__).resolve().parents[3]
_APPLICATION = _ROOT / "tests/requests/application.py"
_PROTOCOLS = {"web": "HTTP", "two": "HTTP2", "rpc": "GRPC", "db": "TCP"}
_KINDS = {"web": "http", "two": "http2", "rpc": "grpc", "db": "tcp"}
_ADMIN = 9901
_DRAIN_S = 20
_UNIT_WAITS_S = 5
_BOOTSTRAPS = {"ours": "bootstrap.json", "plain": "plain.json"}
OURS = "meshc"
CHECKED = "healthChecks"
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "": {},
    CHECKED: {
        "web": "healthChecks: {http: {path: /}}\n",
        "two": "healthChecks: {http: {path: /}}\n",
        "rpc": "healthChecks: {grpc: {}}\n",
        "db": 'healthChecks: {tcp: {send: "ping\\n", receive: app}}\n',
    },
}
"""Name of settings → service → what is added to its spec."""
SERVICES = {
    "http get": "web",
    "http post": "web",
    "http download": "web",
    "http upload": "web",
    "websocket": "web",
    "http2 get": "two",
    "http2 post": "two",
    "http2 upload": "two",
    "grpc unary": "rpc",
    "grpc stream": "rpc",
    "tcp": "db",
}
"""Kind of request → the service that it is for."""

Edit = Callable[[dict[str, Any]], None]
"""Changes a resource."""
Sent = dict[tuple[str, str, str], int]
"""Column, service and address of a host → requests, or for TCP attempts to connect."""


class Fleet:
    """Everything that runs; what is started ends with ``close``.

    ``settings`` names what is added to the specs of called services.  ``takes`` is what an answer
    takes: its latency must not be how busy the machine is.  Without an agent nothing is delivered,
    and the caller's resources may be changed on their way to its Envoy.  Without others there
    are our Envoys only.
    """

    def __init__(
        self,
        folder: Path,
        network: Network,
        *,
        settings: str = "",
        takes: str = "0.02",
        has_agent: bool = True,
        has_others: bool = True,
    ) -> None:
        self._folder = folder
        self.network = network
        self.settings = settings
        self._has_agent = has_agent
        self._takes = takes
        self.envoys = tuple(_BOOTSTRAPS) if has_others else ("ours",)
        self._changes: dict[str, Any] = {"weight": 1, "request": 15, "logs": False}
        self._processes: dict[tuple[str, str], Process] = {}
        self.caller, *self.called = network.hosts
        self.publish()
        store = DirectoryStore(folder / "out")
        for host in network.hosts:
            materialize(store.node(host.name), folder / host.name)
        self._write_plain()

    # Everything at once.

    def start(self) -> None:
        """Start all of it, and wait until it runs."""
        for host in self.called:
            self.start_application(host, is_waited_for=False)
            self.start_envoys(host, is_waited_for=False)
        self.start_envoys(self.caller, is_waited_for=False)
        self.await_all()
        self._await_envoys(self.caller)
        if self._has_agent:
            self._start_agent()

    def close(self) -> None:
        for process in self._processes.values():
            process.end(signal.SIGKILL)

    def renew_caller(self, edit: Edit | None = None) -> None:
        """Give the caller Envoys that know nothing of earlier outages.

        ``edit`` changes the resources that ours starts with, those of the build.
        """
        for which in self.envoys:
            self.end(self.caller, which, signal.SIGTERM)
        if not self._has_agent:
            home = self._folder / self.caller.name
            materialize(DirectoryStore(self._folder / "out").node(self.caller.name), home)
            if edit is not None:
                _edit_all(home, edit)
        self.start_envoys(self.caller)
        if self._has_agent:
            self.await_delivered()

    # One thing.

    def start_application(self, host: Host, *, is_waited_for: bool = True) -> None:
        places = [f"{kind}=127.0.0.1:{9001 + i}" for i, kind in enumerate(_KINDS.values())]
        name = host.name.replace("host", "app")
        seen = str(self._folder / f"{name}.seen")
        command = [sys.executable, str(_APPLICATION), name, seen, self._takes, *places]
        process = self._run(host, "application", command)
        if is_waited_for:
            process.await_line("listening")

    def start_envoys(self, host: Host, *, is_waited_for: bool = True) -> None:
        for which in self.envoys:
            command = [str(envoy_or_skip()), "-c", _BOOTSTRAPS[which], "--disable-hot-restart"]
            command += ["--drain-time-s", str(_DRAIN_S), "--log-level", "warning"]
            self._run(host, which, [*command, "--concurrency", "1"])
        if is_waited_for:
            self._await_envoys(host)

    def process(self, host: Host, which: str) -> Process:
        return self._processes[host.name, which]

    def end(self, host: Host, which: str, how: signal.Signals) -> None:
        """End a process that may have ended already."""
        process = self._processes.pop((host.name, which), None)
        if process is not None:
            process.end(how)

    def stop_envoys_as_a_unit_does(self, host: Host) -> None:
        """Drain ours before it is stopped; nobody drains the plain one."""
        # Connections of TCP stay as long as they may; they are what is cut.
        host.namespace.call(lambda: drain(self.admin(host), within_s=_UNIT_WAITS_S))
        for which in self.envoys:
            self.end(host, which, signal.SIGTERM)

    def admin(self, host: Host) -> EnvoyAdmin:
        """The admin interface of our Envoy; to be asked from within its namespace."""
        return EnvoyAdmin(AdminAddress(host.address, _ADMIN))

    def sent(self) -> Sent:
        """How many requests or connections each column's Envoy has sent to each called host."""
        found: Sent = {}
        for admin in self._admins(self.caller, plain.CALLER_ADMIN):
            text = self.caller.namespace.call(partial(admin._ask, "/clusters?format=json"))
            for cluster in json.loads(text)["cluster_statuses"]:
                column, service = _column_of(cluster["name"])
                for one in cluster.get("host_statuses", ()) if column else ():
                    address = one["address"]["socket_address"]["address"]
                    counts = {stat["name"]: int(stat.get("value", 0)) for stat in one["stats"]}
                    # Of TCP only what came about is a request; a host that is gone gets attempts.
                    which = "cx_total" if _KINDS[service] == "tcp" else "rq_total"
                    found[column, service, address] = counts[which]
        return found

    def ejected(self) -> int:
        """How many hosts our caller's Envoy leaves alone."""
        gauges = self.caller.namespace.call(
            lambda: self.admin(self.caller).gauges("outlier_detection.ejections_active$")
        )
        return sum(gauges.values())

    # What is delivered.

    def change(self, kind: str) -> None:
        """Change the specs so that endpoints, routes or listeners change, and build them."""
        if kind == "endpoints":
            self._changes["weight"] = 3 - self._changes["weight"]
        elif kind == "routes":
            self._changes["request"] = 29 - self._changes["request"]
        else:
            self._changes["logs"] = not self._changes["logs"]
        self.publish()

    def publish(self) -> None:
        """Build the specs as they are now into the folder that the agent follows."""
        specs = self._folder / "specs"
        specs.mkdir(exist_ok=True)
        for name, text in self._specs().items():
            (specs / name).write_text(text)
        result = build(specs, BuildOptions(out=self._folder / "out"))
        assert not result.has_errors, result.diagnostics

    def await_delivered(self) -> None:
        """Wait until the agent says that the caller's Envoy runs what was built last."""
        digests = DirectoryStore(self._folder / "out").node(self.caller.name).files

        def is_there() -> bool:
            status = read_status(self._folder / "state") or {}
            home = self._folder / self.caller.name
            return status.get("state") == "ok" and all(
                (home / path).read_bytes() == data
                for path, data in digests.items()
                if path.endswith("ds.json")
            )

        wait_until(is_there, "a delivery")

    def _specs(self) -> dict[str, str]:
        changes = self._changes
        found = {
            "mesh.yaml": "name: outages\nxdsDirectory: .\n"
            f"admin: {{host: ingress, port: {_ADMIN}}}\ndrainTime: {_DRAIN_S}s\n"
            f"accessLog: {{enabled: {str(changes['logs']).lower()}, directory: .}}\n"
        }
        for number, (name, protocol) in enumerate(_PROTOCOLS.items()):
            hosts = "".join(
                f"- {{name: {host.name}, weight: {changes['weight']}, "
                f"ingressAddr: {{host: {host.address}, port: {8001 + number}}}, "
                f"substanceAddr: {{host: 127.0.0.1, port: {9001 + number}}}}}\n"
                for host in self.called
            )
            timeouts = f"timeouts: {{request: {changes['request']}s}}\n" if name == "web" else ""
            more = SETTINGS[self.settings].get(name, "")
            found[f"{name}.yaml"] = f"protocol: {protocol}\nhosts:\n{hosts}{timeouts}{more}"
        calls = "".join(
            f"- {{name: {name}, egressPort: {9001 + number}}}\n"
            for number, name in enumerate(_PROTOCOLS)
        )
        found["front.yaml"] = (
            "protocol: HTTP\nhosts:\n"
            f"- {{name: {self.caller.name}, ingressAddr: {{host: {self.caller.address}, "
            "port: 8000}, substanceAddr: {host: 127.0.0.1, port: 9000}}\n"
            f"dependentServices:\n{calls}"
        )
        return found

    def _write_plain(self) -> None:
        for host in self.called:
            text = plain.called_bootstrap(host.address)
            (self._folder / host.name / "plain.json").write_text(text)
        text = plain.caller_bootstrap(self.caller.address, [host.address for host in self.called])
        (self._folder / self.caller.name / "plain.json").write_text(text)

    def _admins(self, host: Host, plain_port: int) -> list[EnvoyAdmin]:
        ports = [_ADMIN, plain_port][: len(self.envoys)]
        return [EnvoyAdmin(AdminAddress(host.address, port)) for port in ports]

    def _start_agent(self) -> None:
        command = [sys.executable, "-m", "meshc", "agent", "run", "--node", self.caller.name]
        command += ["--source", str(self._folder / "out")]
        command += ["--target", str(self._folder / self.caller.name)]
        command += ["--state", str(self._folder / "state")]
        self._run(self.caller, "agent", command, folder=_ROOT)
        self.await_delivered()

    def _run(
        self, host: Host, which: str, command: list[str], *, folder: Path | None = None
    ) -> Process:
        process = Process(
            [*host.namespace.within, *command],
            folder=folder or self._folder / host.name,
            log=self._folder / f"{host.name}.{which}.log",
        )
        self._processes[host.name, which] = process
        return process

    def await_all(self) -> None:
        """Wait until all Envoys and applications answer that were started."""
        for host in self.called:
            self._processes[host.name, "application"].await_line("listening")
            self._await_envoys(host)

    def _await_envoys(self, host: Host) -> None:
        for asked in self._admins(host, plain.CALLED_ADMIN):

            def is_live(asked: EnvoyAdmin = asked) -> bool:
                with contextlib.suppress(DeliveryError):
                    return host.namespace.call(lambda: bool(asked.listeners()))
                return False

            wait_until(is_live, f"an Envoy of {host.name}")

    def seen(self) -> set[str]:
        """The ids of all requests that some application has seen."""
        found: set[str] = set()
        for place in self._folder.glob("*.seen"):
            found.update(place.read_text().split())
        return found

    def forget(self) -> None:
        """Forget what was seen; nothing may be under way."""
        for place in self._folder.glob("*.seen"):
            os.truncate(place, 0)


def _column_of(cluster: str) -> tuple[str, str]:
    """Return the column and the service that a cluster of the caller belongs to."""
    if cluster.startswith("outbound/"):
        return OURS, cluster.removeprefix("outbound/")
    service, _, rest = cluster.partition("-")
    for column in plain.COLUMNS:
        if rest == column.replace(" ", "-").replace(",", ""):
            return column, service
    return "", ""


def _edit_all(home: Path, edit: Edit) -> None:
    for place in home.rglob("*ds*.json"):
        content = json.loads(place.read_bytes())
        for resource in content["resources"]:
            edit(resource)
        place.write_text(json.dumps(content))
