"""A folder with specs, what is compiled from them, and a running host for each node."""

from __future__ import annotations

import errno
import math
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.artifact.store import DirectoryStore
from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.agent.configuration import read_configuration
from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.delivery.agent.prepare import prepare
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.status import read_status
from meshc.delivery.agent.swap import read_files
from meshc.demo.errors import DemoError
from meshc.diagnostics.render import render_text
from meshc.pipeline import BuildOptions, build

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.configuration import Configuration
    from meshc.delivery.agent.generations import Generation
    from meshc.demo.processes import Processes

_START_LIMIT_S = 20.0
_DELIVERY_LIMIT_S = 60.0
_PAUSE_S = 0.02
_STUCK = ("quarantined", "held", "failing", "envoy-down")
"""States of an agent in which somebody has to act before it goes on."""
_HTTP_OPTIONS = "typed_extension_protocol_options"

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What one host of the mesh is made of, read from its own compiled files.

    ``calls`` are the addresses at which its Envoy takes calls to other services, by service.
    """

    node: str
    service: str
    accepts: Address
    calls: dict[str, Address]
    admin: AdminAddress
    application: Address
    is_http: bool

    @property
    def addresses(self) -> dict[Address, str]:
        """Everything that must be free before the host is started, and for what."""
        own = {
            self.accepts: "its Envoy",
            self.application: "its application",
            (self.admin.host, self.admin.port): "its Envoy's admin page",
        }
        return own | {address: f"calls to {name}" for name, address in self.calls.items()}

    @classmethod
    def from_bundle(cls, bundle: NodeBundle) -> Host:
        """Read a host from its files; raises DemoError where they are not like the sample's."""
        files = read_configuration(bundle.files, origin=f'the bundle of "{bundle.node}"')
        accepts = _by_service(files, "inbound/")
        if len(accepts) != 1:
            raise DemoError(f'host "{bundle.node}" must belong to one service in the demo')
        service, address = next(iter(accepts.items()))
        cluster = files.clusters[f"inbound/{service}"]
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        return cls(
            node=bundle.node,
            service=service,
            accepts=address,
            calls=_by_service(files, "outbound/"),
            admin=AdminAddress.from_bootstrap(files.bootstrap),
            application=_address(endpoint),
            is_http=_HTTP_OPTIONS in cluster,
        )

    def order(self) -> dict[str, Any]:
        """What the process of sample applications must know to be this host's application."""
        kind = "app" if self.is_http else "store"
        if {"app", "store"} <= set(self.calls):
            kind = "front"
        host, port = self.application
        return {"kind": kind, "name": self.node, "host": host, "port": port, **self.calls}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What one apply did: compile, deliver, confirm."""

    has_changed: bool
    nodes: int
    seconds: float

    def __str__(self) -> str:
        return f"OK (Changed={str(self.has_changed).lower()})"


class DemoMesh:
    """Compiles, starts and changes a mesh, by the same functions and programs as everybody."""

    def __init__(self, folder: Path, envoy: Path, processes: Processes) -> None:
        self.specs = folder / "specs"
        self._built = folder / "built"
        self._published = folder / "out"
        self._hosts = folder / "hosts"
        self._envoy = envoy
        self._processes = processes
        self.hosts: dict[str, Host] = {}

    def directory(self, node: str) -> Path:
        """Directory of a host: its files, its logs."""
        return self._hosts / node

    def compile(self) -> dict[str, NodeBundle]:
        """Build the specs, judged by Envoy; raises DemoError where they are wrong."""
        self._build(self._built, self._envoy)
        store = DirectoryStore(self._built)
        return {name: store.node(name) for name in store.manifest().nodes}

    def _build(self, out: Path, envoy: Path | None) -> None:
        result = build(self.specs, BuildOptions(out=out, envoy=envoy))
        if result.has_errors:
            texts = {name: source.text for name, source in result.sources.items()}
            text = render_text(result.diagnostics, texts, root=str(self.specs))
            raise DemoError("the specs are wrong, so nothing was delivered:\n" + text.rstrip())

    def start(self, bundles: dict[str, NodeBundle]) -> None:
        """Start hosts, each with Envoy and agent, after making sure that addresses are free."""
        hosts = {name: Host.from_bundle(bundle) for name, bundle in bundles.items()}
        for host in hosts.values():
            for address, purpose in host.addresses.items():
                _refuse_busy(address, f'host "{host.node}" ({purpose})')
        drain_time = DirectoryStore(self._built).manifest().data["drain_time"]
        command = [
            *(str(self._envoy), "-c", "bootstrap.json"),
            *("--concurrency", "1", "--disable-hot-restart"),
            *("--drain-time-s", str(math.ceil(float(str(drain_time).removesuffix("s"))))),
        ]
        for name, host in hosts.items():
            prepare(self._settings(name, self._built))
            self._processes.start_application(host.order())
            self._processes.start("Envoy", name, command, self.directory(name))
            self.hosts[name] = host
        for host in hosts.values():
            self._await_ready(host)
        for name in hosts:
            self._processes.start("agent", name, self._agent(name), self.directory(name))

    def publish(self) -> None:
        """Put what was built where the agents look; what is right there already is not touched."""
        self._build(self._published, None)  # judged when it was built

    def apply(self) -> Applied:
        """Build, start hosts that are new, publish, and wait for the agents.

        A host that was taken out keeps running, as requests that are on their way to it still
        need it; its agent finds itself without files and leaves everything as it is.
        """
        started = time.monotonic()
        bundles = self.compile()
        new = {name: bundle for name, bundle in bundles.items() if name not in self.hosts}
        self.start(new)  # before anybody is told to call them
        wanted = {name: generation_of(digests_of(bundle.files)) for name, bundle in bundles.items()}
        has_changed = bool(new) or any(
            self._delivered(name) != generation for name, generation in wanted.items()
        )
        self.publish()
        for name, generation in wanted.items():
            self._await_delivered(name, generation)
        return Applied(
            has_changed=has_changed, nodes=len(bundles), seconds=time.monotonic() - started
        )

    def _settings(self, node: str, source: Path) -> AgentSettings:
        """Return what a host's agent is told; the build was judged by the same Envoy already."""
        target = self.directory(node)
        return AgentSettings(
            node=node, source=str(source), target=target, state=target / ".agent", envoy="none"
        )

    def _agent(self, node: str) -> list[str]:
        told = self._settings(node, self._published)
        return [
            *(sys.executable, "-m", "meshc", "agent", "run"),
            *("--node", node, "--source", told.source, "--target", str(told.target)),
            *("--envoy", told.envoy),
        ]

    def say_of(self, node: str) -> str:
        """Return the first line of an agent's status."""
        return str(self._status(node).get("summary", "its agent has said nothing so far"))

    def _status(self, node: str) -> dict[str, Any]:
        return read_status(self._settings(node, self._published).state) or {}

    def _delivered(self, node: str) -> str | None:
        """Return the generation that a host's Envoy runs, as its agent knows."""
        status = self._status(node)
        delivered = status.get("delivered")
        return delivered["generation"] if delivered and status["confirmed"] else None

    def _await_delivered(self, node: str, generation: Generation) -> None:
        """Wait until an agent says that Envoy runs this generation; raises where it cannot."""
        limit = time.monotonic() + _DELIVERY_LIMIT_S
        while self._delivered(node) != generation:
            self._processes.check()
            status = self._status(node)
            desired = status.get("desired") or {}
            is_stuck = status.get("state") in _STUCK and desired.get("generation") == generation
            if is_stuck or time.monotonic() > limit:
                raise DemoError(f'the agent of "{node}" says: {self.say_of(node)}')
            time.sleep(_PAUSE_S)

    def traces(self) -> dict[str, object]:
        """Everything that moves if anything is delivered: files on disk, reads by each Envoy."""
        found: dict[str, object] = {}
        for name, host in self.hosts.items():
            for path in read_files(self.directory(name)):
                status = (self.directory(name) / path).stat()
                found[f"{name}/{path}"] = (status.st_ino, status.st_mtime_ns)
            for counter, value in EnvoyAdmin(host.admin).update_attempts().items():
                found[f"{name} {counter}"] = value
        return found

    def _await_ready(self, host: Host) -> None:
        """Wait until a host's Envoy accepts connections for its service."""
        limit = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < limit:
            self._processes.check()
            try:
                socket.create_connection(host.accepts, timeout=1).close()
            except OSError:
                time.sleep(_PAUSE_S)
            else:
                return
        raise DemoError(
            f'the Envoy of "{host.node}" accepts nothing at {_shown(host.accepts)}; '
            f"its last words:\n{self._processes.last_words('Envoy', host.node)}"
        )


def _by_service(files: Configuration, prefix: str) -> dict[str, Address]:
    return {
        name.removeprefix(prefix).partition("@")[0]: _address(listener)
        for name, listener in files.listeners.items()
        if name.startswith(prefix)
    }


def _address(holder: dict[str, Any]) -> Address:
    place = holder["address"]["socket_address"]
    return str(place["address"]), int(place["port_value"])


def _shown(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _refuse_busy(address: Address, purpose: str) -> None:
    """Raise DemoError where an address cannot be listened at."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    error: OSError | None = None
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Envoy shares its ports, so what is left of an earlier Envoy's connections does not
        # disturb the next one; but sharing also hides somebody who listens there now.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind(address)
        except OSError as reason:
            error = reason
    if _is_answered(address) or (error is not None and error.errno == errno.EADDRINUSE):
        raise DemoError(
            f"{_shown(address)} is in use, and {purpose} needs it",
            hint=f"find out by whom: ss -ltnp 'sport = :{address[1]}'; is another demo running?",
        )
    if error is not None:
        raise DemoError(
            f"{purpose} cannot listen at {_shown(address)}: {error.strerror}",
            hint="the demo needs the loopback addresses 127.0.0.0/8, as on Linux",
        )


def _is_answered(address: Address) -> bool:
    """Whether somebody accepts connections; one who is too busy to do so counts as well."""
    try:
        socket.create_connection(address, timeout=1).close()
    except TimeoutError:
        return True
    except OSError:
        return False
    return True
