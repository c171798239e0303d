"""A folder with specs, what is compiled from them, and a running host for each node."""

from __future__ import annotations

import errno
import math
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.artifact.store import DirectoryStore
from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.agent.configuration import read_configuration
from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.delivery.agent.swap import read_files
from meshc.delivery.xds.content.rewrite import XDS_CLUSTER
from meshc.demo.channel import Wanted
from meshc.demo.errors import DemoError
from meshc.diagnostics.render import render_text
from meshc.pipeline import BuildOptions, build

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.configuration import Configuration
    from meshc.demo.channel import Channel, Places
    from meshc.demo.processes import Processes

_START_LIMIT_S = 20.0
_DELIVERY_LIMIT_S = 60.0
_PAUSE_S = 0.02
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

    def __init__(self, places: Places, envoy: Path, processes: Processes, channel: Channel) -> None:
        self.specs = places.specs
        self._places = places
        self._envoy = envoy
        self._processes = processes
        self._channel = channel
        self.hosts: dict[str, Host] = {}

    def compile(self) -> dict[str, NodeBundle]:
        """Build the specs, judged by Envoy; raises DemoError where they are wrong."""
        self._build(self._places.built, self._envoy)
        store = DirectoryStore(self._places.built)
        return {name: store.node(name) for name in store.manifest().nodes}

    def _build(self, out: Path, envoy: Path | None) -> None:
        result = build(self.specs, BuildOptions(out=out, envoy=envoy))
        if result.has_errors:
            texts = {name: source.text for name, source in result.sources.items()}
            text = render_text(result.diagnostics, texts, root=str(self.specs))
            raise DemoError("the specs are wrong, so nothing was delivered:\n" + text.rstrip())

    def start(self, bundles: dict[str, NodeBundle]) -> None:
        """Start hosts, after making sure that addresses are free."""
        hosts = {name: Host.from_bundle(bundle) for name, bundle in bundles.items()}
        for host in hosts.values():
            for address, purpose in host.addresses.items():
                refuse_busy(address, f'host "{host.node}" ({purpose})')
        if self._channel.is_first:
            self.publish()
        self._channel.open()
        drain_s = math.ceil(float(self._places.drain_time().removesuffix("s")))
        command = [
            *(str(self._envoy), "-c", "bootstrap.json"),
            *("--concurrency", "1", "--disable-hot-restart"),
            *("--drain-time-s", str(drain_s)),
        ]
        for name, host in hosts.items():
            self._channel.equip(bundles[name])
            self._processes.start_application(host.order())
            self._processes.start("Envoy", name, command, self._places.host(name))
            self.hosts[name] = host
        for host in hosts.values():
            self._await_ready(host)
        for name in hosts:
            self._channel.attend(name)

    def publish(self) -> None:
        """Put what was built where agents or the server look; what is right there stays as is."""
        self._build(self._places.published, None)  # judged when it was built

    def apply(self) -> Applied:
        """Build, start hosts that are new, publish, and wait until all Envoys run it.

        A host that was taken out keeps running, as requests that are on their way to it still
        need it: whoever delivers to it finds it without files and leaves everything as it is.
        """
        started = time.monotonic()
        bundles = self.compile()
        wanted = self._wanted(bundles)
        new = {name: bundle for name, bundle in bundles.items() if name not in self.hosts}
        has_changed = bool(new) or not all(
            self._channel.is_delivered(name, wanted) for name in bundles
        )
        if new:
            self.start(new)  # before anybody is told to call them, where that can be
        self.publish()
        self._await_all(wanted)
        return Applied(
            has_changed=has_changed, nodes=len(bundles), seconds=time.monotonic() - started
        )

    def await_all(self) -> None:
        """Wait until all Envoys are known to run what was built last."""
        store = DirectoryStore(self._places.built)
        bundles = {name: store.node(name) for name in store.manifest().nodes}
        self._await_all(self._wanted(bundles))

    def _wanted(self, bundles: dict[str, NodeBundle]) -> Wanted:
        return Wanted(
            build=DirectoryStore(self._places.built).manifest().generation,
            nodes={name: generation_of(digests_of(one.files)) for name, one in bundles.items()},
        )

    def _await_all(self, wanted: Wanted) -> None:
        for name in wanted.nodes:
            self._await_delivered(name, wanted)

    def _await_delivered(self, node: str, wanted: Wanted) -> None:
        """Wait until a host's Envoy is known to run this; raises where it cannot."""
        limit = time.monotonic() + _DELIVERY_LIMIT_S
        while not self._channel.is_delivered(node, wanted):
            self._processes.check()
            problem = self._channel.problem_of(node, wanted)
            if not problem and time.monotonic() > limit:
                problem = self._channel.say_of(node)
            if problem:
                raise DemoError(problem)
            time.sleep(_PAUSE_S)

    def traces(self) -> dict[str, object]:
        """Everything that moves if anything is delivered: files on disk, reads by each Envoy."""
        found: dict[str, object] = {}
        for name, host in self.hosts.items():
            place = self._places.host(name)
            for path in read_files(place):
                status = (place / path).stat()
                found[f"{name}/{path}"] = (status.st_ino, status.st_mtime_ns)
            found |= _by_host(name, EnvoyAdmin(host.admin).update_attempts())
        return found | self.updates()

    def updates(self) -> dict[str, object]:
        """How often each Envoy has taken over something, of each subscription."""
        found: dict[str, object] = {}
        for name, host in self.hosts.items():
            found |= _by_host(name, EnvoyAdmin(host.admin).update_successes())
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


def _by_host(node: str, counters: dict[str, int]) -> dict[str, object]:
    """Name counters by host, without those of looking up where the server is."""
    return {
        f"{node} {counter}": value
        for counter, value in counters.items()
        if not counter.startswith(f"cluster.{XDS_CLUSTER}.")
    }


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


def refuse_busy(address: Address, purpose: str) -> None:
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
