"""Real Envoys on a server that runs on a thread of its own, and what each of them runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from meshc.artifact.store import DirectoryStore
from meshc.delivery.xds.bootstrap import Credentials, Subscribing, grpc_bootstrap
from meshc.delivery.xds.process.status import describe
from meshc.delivery.xds.transport.addresses import address
from tests.delivery.live import START_LIMIT_S, Load, free_ports, get, running_envoy, until, upstream
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import Server, free_port, served

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from meshc.delivery.agent.admin import EnvoyAdmin
    from meshc.delivery.xds.transport.tls import TlsFiles

HOST = f"127.46.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
"""Of this process alone, as ports are looked for long before they are used."""
DRAIN_S = 3
_SETTLED_S = 10.0
"""An Envoy that misses something goes on without it after 15 s."""


class Running:
    """A server on a thread of its own, driven from the test's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        self._loop = loop
        self.server = server

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def port(self, subscribing: Subscribing) -> int:
        """Where an Envoy subscribes in one way or another."""
        rest = self.server.serving.settings.rest
        if subscribing is Subscribing.REST and rest is not None and rest.port is not None:
            return rest.port
        return self.server.port

    def put(self, folder: Path) -> None:
        """Serve another bundle."""
        self._do(self.server.put(folder))

    def status(self) -> dict[str, Any]:
        """What the server says of itself."""

        async def asked() -> dict[str, Any]:
            return describe(self.server.serving)

        found: dict[str, Any] = self._do(asked())
        return found

    def until_settled(self, generation: str, limit_s: float = START_LIMIT_S) -> None:
        """Wait until everything that was sent is acknowledged."""

        def is_settled() -> bool:
            streams = self.status()["streams"]
            return bool(streams) and all(
                one["generation"] == generation
                and all(kind["state"] == "acknowledged" for kind in one["types"].values())
                for one in streams
            )

        until(is_settled, f"everybody on {generation}: {self.status()}", limit_s)


@contextlib.contextmanager
def server_of(
    folder: Path,
    *,
    tls: TlsFiles | None = None,
    withdrawn: Path | None = None,
    port: int = 0,
) -> Iterator[Running]:
    """Serve a folder until the block ends, also over REST; without a port, on a free one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = contextlib.AsyncExitStack()
    try:
        rest = address(f"127.0.0.1:{free_port()}")
        entering = stack.enter_async_context(
            served(folder, rest=rest, tls=tls, withdrawn=withdrawn, port=port)
        )
        server = asyncio.run_coroutine_threadsafe(entering, loop).result(20)
        yield Running(loop, server)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Mesh:
    """`front1` calls `app`, and perhaps `other`, which are plain servers of the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names = ("ingress", "application", "egress", "second", "admin")
        self.ports = dict(zip(names, free_ports(HOST, len(names)), strict=True))
        self.entrance = (HOST, self.ports["egress"])
        self.admin = (HOST, self.ports["admin"])
        self._builds = 0

    def build(
        self, apps: list[tuple[str, int]], *, name: str = "app", other: Any = None, policy: str = ""
    ) -> Path:
        """Compile one state of the mesh."""
        ports = self.ports
        dependencies = f"- {{name: {name}, egressPort: {ports['egress']}{policy}}}\n"
        if other is not None:
            dependencies += f"- {{name: other, egressPort: {ports['second']}}}\n"
        documents = {
            "mesh": f"drainTime: {DRAIN_S}s\naccessLog: {{enabled: false}}\n"
            f"admin: {{host: {HOST}, port: {ports['admin']}}}\n",
            "front": "protocol: HTTP\nhosts:\n- name: front1\n"
            f"  ingressAddr: {{host: {HOST}, port: {ports['ingress']}}}\n"
            f"  substanceAddr: {{host: {HOST}, port: {ports['application']}}}\n"
            f"  egressHost: {HOST}\ndependentServices:\n{dependencies}",
            name: _outside(name, apps),
        }
        if other is not None:
            documents["other"] = _outside("other", [other])
        self._builds += 1
        return make_bundle(self._folder / f"build{self._builds}", documents)


def _outside(name: str, hosts: list[tuple[str, int]]) -> str:
    lines = [
        f"- {{name: {name}{number}, externalAddr: {{host: {host}, port: {port}}}}}"
        for number, (host, port) in enumerate(hosts)
    ]
    return "protocol: HTTP\nhosts:\n" + "\n".join(lines) + "\n"


@contextlib.contextmanager
def envoy_on(
    folder: Path,
    bundle: Path,
    admin: tuple[str, int],
    *places: int | tuple[str, int],
    subscribing: Subscribing,
    credentials: Credentials | None = None,
    gets_listeners: bool = True,
) -> Iterator[EnvoyAdmin]:
    """Run the Envoy of `front1` on the servers at these ports, of 127.0.0.1 unless it is said."""
    folder.mkdir()
    bootstrap = json.loads((bundle / "nodes/front1/bootstrap.json").read_text())
    servers = [one if isinstance(one, tuple) else ("127.0.0.1", one) for one in places]
    found = grpc_bootstrap(bootstrap, servers, subscribing=subscribing, credentials=credentials)
    (folder / "bootstrap.json").write_text(json.dumps(found))
    with running_envoy(folder, admin, DRAIN_S, gets_listeners=gets_listeners) as asked:
        yield asked


def ask_once(mesh: Mesh) -> str:
    """Ask once; nothing where nobody listens so far."""
    try:
        return get(mesh.entrance)
    except OSError:
        return ""


def generation_of(bundle: Path) -> str:
    """The generation of a bundle, as the server names it."""
    return DirectoryStore(bundle).manifest().generation


def configured(admin: EnvoyAdmin) -> dict[str, Any]:
    """What an Envoy runs, without where it comes from and when it came."""
    dump = json.loads(admin._ask("/config_dump?include_eds"))
    found: dict[str, Any] = {}
    for part in dump["configs"]:
        for resource in _resources_in(part):
            name = resource.get("name") or resource["cluster_name"]
            found[f"{resource['@type']} {name}"] = _without_sources(resource)
    return found


def _resources_in(part: Any) -> Iterator[dict[str, Any]]:
    for key in ("dynamic_active_clusters", "dynamic_listeners", "dynamic_route_configs"):
        for entry in part.get(key, []):
            if "draining_state" in entry and "active_state" not in entry:
                continue
            one = entry.get("active_state", entry)
            yield one.get("cluster") or one.get("listener") or one["route_config"]
    for entry in part.get("dynamic_endpoint_configs", []):
        yield entry["endpoint_config"]


def _without_sources(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "SOURCE" if key in {"eds_config", "config_source"} else _without_sources(one)
            for key, one in value.items()
        }
    return [_without_sources(one) for one in value] if isinstance(value, list) else value


def relative_to(folder: Path, bundle: Path) -> Path:
    """Compile once more for an Envoy whose files lie in its working directory."""
    specs = bundle.parent / "specs"
    documents = {path.stem: path.read_text() for path in specs.glob("*.yaml")}
    documents["mesh"] += 'xdsDirectory: "."\n'
    return make_bundle(folder / "relative", documents)


def walk(folder: Path, subscribing: Subscribing, *, requests: int) -> Counter[str]:
    """Make one change of each kind under a load; returns the answers, ``one`` or ``two``.

    Each change is waited for until all is acknowledged, and for so many requests more.
    """
    mesh = Mesh(folder)
    answers: Counter[str] = Counter()
    with upstream(HOST, "one") as one, upstream(HOST, "two") as two:
        states = {
            "start": mesh.build([one]),
            "endpoint added": mesh.build([one, two]),
            "endpoint removed": mesh.build([two]),
            "route changed": mesh.build([two], policy=", timeouts: {request: 7s}"),
            "cluster changed": mesh.build([two], policy=", timeouts: {connect: 700ms}"),
            "dependency added": mesh.build([two], other=one),
            "cluster renamed": mesh.build([one], name="renamed", other=two),
            "dependency removed": mesh.build([one], name="renamed"),
            "all back": mesh.build([one]),
        }
        shutil.copytree(states["start"], folder / "served")
        with (
            server_of(folder / "served") as running,
            envoy_on(
                folder / "envoy",
                states["start"],
                mesh.admin,
                running.port(subscribing),
                subscribing=subscribing,
            ),
        ):
            until(lambda: ask_once(mesh) == "one", "the first answer")
            with Load(mesh.entrance, answers) as load:
                for name, bundle in states.items():
                    if name != "start":
                        running.put(bundle)
                    running.until_settled(generation_of(bundle), _SETTLED_S)
                    load.more(requests)
                    assert set(answers) <= {"one", "two"}, (name, answers)
    return answers
