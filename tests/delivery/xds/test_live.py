"""Real Envoys on the server: the same as on files, and no failed request over changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from meshc.artifact.store import DirectoryStore
from meshc.delivery.materialize import materialize
from meshc.delivery.xds.bootstrap import Subscribing, grpc_bootstrap
from meshc.delivery.xds.settings import address
from meshc.delivery.xds.status import describe
from tests.delivery.live import Load, free_ports, get, running_envoy, until, upstream
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import Server, free_port, served

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from meshc.delivery.agent.admin import EnvoyAdmin

pytestmark = pytest.mark.envoy

_HOST = "127.0.46.9"
_DRAIN_S = 3
_RUN = 12
"""Three listeners, three clusters, three route configurations, the endpoints of three."""


class _Running:
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

    def until_settled(self, generation: str) -> None:
        """Wait until everything that was sent is acknowledged."""

        def is_settled() -> bool:
            streams = self.status()["streams"]
            return bool(streams) and all(
                one["generation"] == generation
                and all(kind["state"] == "acknowledged" for kind in one["types"].values())
                for one in streams
            )

        until(is_settled, f"everybody on {generation}: {self.status()}")


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[_Running]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = contextlib.AsyncExitStack()
    try:
        rest = address(f"127.0.0.1:{free_port()}")
        entering = stack.enter_async_context(served(folder, rest=rest))
        server = asyncio.run_coroutine_threadsafe(entering, loop).result(20)
        yield _Running(loop, server)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Mesh:
    """`front1` calls `app`, and perhaps `other`, which are plain servers of the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names = ("ingress", "application", "egress", "second", "admin")
        self.ports = dict(zip(names, free_ports(_HOST, len(names)), strict=True))
        self.entrance = (_HOST, self.ports["egress"])
        self.admin = (_HOST, self.ports["admin"])
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
            "mesh": f"drainTime: {_DRAIN_S}s\naccessLog: {{enabled: false}}\n"
            f"admin: {{host: {_HOST}, port: {ports['admin']}}}\n",
            "front": "protocol: HTTP\nhosts:\n- name: front1\n"
            f"  ingressAddr: {{host: {_HOST}, port: {ports['ingress']}}}\n"
            f"  substanceAddr: {{host: {_HOST}, port: {ports['application']}}}\n"
            f"  egressHost: {_HOST}\ndependentServices:\n{dependencies}",
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
def _envoy(
    folder: Path, bundle: Path, mesh: _Mesh, port: int, subscribing: Subscribing
) -> Iterator[EnvoyAdmin]:
    folder.mkdir()
    bootstrap = json.loads((bundle / "nodes/front1/bootstrap.json").read_text())
    found = grpc_bootstrap(
        bootstrap, [("127.0.0.1", port)], subscribing=subscribing, credentials=None
    )
    (folder / "bootstrap.json").write_text(json.dumps(found))
    with running_envoy(folder, mesh.admin, _DRAIN_S) as admin:
        yield admin


def _answers(mesh: _Mesh) -> str:
    """Ask once; nothing where nobody listens so far."""
    try:
        return get(mesh.entrance)
    except OSError:
        return ""


def _generation(bundle: Path) -> str:
    return DirectoryStore(bundle).manifest().generation


@pytest.mark.parametrize("subscribing", [Subscribing.ADS, Subscribing.DELTA_ADS])
def test_no_request_fails_over_any_kind_of_change(tmp_path: Path, subscribing: Subscribing) -> None:
    mesh = _Mesh(tmp_path)
    answers: Counter[str] = Counter()
    with upstream(_HOST, "one") as one, upstream(_HOST, "two") as two:
        states = {
            "start": mesh.build([one]),
            "endpoint added": mesh.build([one, two]),
            "endpoint removed": mesh.build([two]),
            "route changed": mesh.build([two], policy=", timeouts: {request: 7s}"),
            "dependency added": mesh.build([two], other=one),
            "cluster renamed": mesh.build([one], name="renamed", other=two),
            "dependency removed": mesh.build([one], name="renamed"),
            "all back": mesh.build([one]),
        }
        served_folder = tmp_path / "served"
        shutil.copytree(states["start"], served_folder)
        with (
            _server(served_folder) as running,
            _envoy(tmp_path / "envoy", states["start"], mesh, running.server.port, subscribing),
        ):
            until(lambda: _answers(mesh) == "one", "the first answer")
            with Load(mesh.entrance, answers) as load:
                for name, bundle in states.items():
                    if name != "start":
                        running.put(bundle)
                    running.until_settled(_generation(bundle))
                    load.more(60)
                    assert set(answers) <= {"one", "two"}, (name, answers)
    assert set(answers) == {"one", "two"}
    assert answers.total() >= 8 * 60


def _configured(admin: EnvoyAdmin) -> dict[str, Any]:
    """What an Envoy runs, without where it comes from and when it came."""
    dump = json.loads(admin._get("/config_dump?include_eds"))
    found: dict[str, Any] = {}
    for part in dump["configs"]:
        for resource in _resources_in(part):
            name = resource.get("name") or resource["cluster_name"]
            found[f"{resource['@type']} {name}"] = _without_sources(resource)
    return found


def _resources_in(part: Any) -> Iterator[dict[str, Any]]:
    for key in ("dynamic_active_clusters", "dynamic_listeners", "dynamic_route_configs"):
        for entry in part.get(key, []):
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


@pytest.mark.parametrize(
    "subscribing",
    [Subscribing.ADS, Subscribing.DELTA_ADS, Subscribing.PER_TYPE, Subscribing.REST],
)
def test_an_envoy_runs_the_same_from_files_and_from_the_server(
    tmp_path: Path, subscribing: Subscribing
) -> None:
    mesh = _Mesh(tmp_path)
    with upstream(_HOST, "one") as one:
        bundle = mesh.build([one], other=one, policy=", timeouts: {request: 7s}")
        files = tmp_path / "files"
        files.mkdir()
        relative = _relative(tmp_path, bundle)
        materialize(DirectoryStore(relative).node("front1"), files)
        with running_envoy(files, mesh.admin) as admin:
            until(lambda: _answers(mesh) == "one", "an answer from files")
            from_files = _configured(admin)
        with (
            _server(relative) as running,
            _envoy(
                tmp_path / "envoy", relative, mesh, running.port(subscribing), subscribing
            ) as admin,
        ):
            until(lambda: _answers(mesh) == "one", "an answer from the server")
            from_server = _configured(admin)

    assert len(from_files) == _RUN
    assert from_server == from_files


def _relative(folder: Path, bundle: Path) -> Path:
    """Compile once more for an Envoy whose files lie in its working directory."""
    specs = bundle.parent / "specs"
    documents = {path.stem: path.read_text() for path in specs.glob("*.yaml")}
    documents["mesh"] += 'xdsDirectory: "."\n'
    return make_bundle(folder / "relative", documents)


def test_traffic_goes_on_without_the_server(tmp_path: Path) -> None:
    mesh = _Mesh(tmp_path)
    answers: Counter[str] = Counter()
    with upstream(_HOST, "one") as one, contextlib.ExitStack() as stack:
        bundle = mesh.build([one])
        first = stack.enter_context(contextlib.ExitStack())
        running = first.enter_context(_server(bundle))
        port = running.server.port
        stack.enter_context(_envoy(tmp_path / "envoy", bundle, mesh, port, Subscribing.ADS))
        until(lambda: _answers(mesh) == "one", "the first answer")
        with Load(mesh.entrance, answers) as load:
            first.close()
            load.more(100)
    assert set(answers) == {"one"}
