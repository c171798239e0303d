"""Figures of publication: 10,000 nodes into one Consul, one change of them, 500 watching agents."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from benchmarks.measure import MESHC, Figure, run
from benchmarks.reference_mesh import service_name, service_text, write_mesh
from meshc.consul.client import ConsulClient
from tests.consul.program import find_consul
from tests.consul.server import ConsulServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.figures import Bench
    from meshc.consul.kv import KvEntry

_MESH = "reference"
_ROOT = f"meshc/v1/{_MESH}"
_HOST = "127.0.46.12"
_SAMPLE = 2_000
"""Bare PUTs that are measured; so many more would take minutes and say the same."""
_MAX_BODY = 1 << 30
_HOSTS = 10
_AGENTS, _PROCESSES = 500, 5
_OUTAGE_S = 90.0
_LIMIT_S = 60.0
_MOST_A_SECOND = 100.0
_FLOOR = f"the same keys and bytes as bare PUTs, one connection ({_SAMPLE:,} measured)"


@contextlib.contextmanager
def _consul(scratch: Path) -> Iterator[ConsulServer]:
    program = find_consul()
    if program is None:
        raise SystemExit("there is no Consul on this machine: make consul")
    folder = scratch / "consul"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    settings = {
        "server": True,
        "bootstrap_expect": 1,
        "limits": {"http_max_conns_per_client": 4 * _AGENTS},  # all agents are at one address
    }
    with ConsulServer(
        program=program,
        log=folder / "log",
        folder=folder,
        host=_HOST,
        settings_file=settings,
    ) as server:
        yield server


class _Wire:
    """The counting wire, as a process."""

    def __init__(self, server: ConsulServer) -> None:
        target = (server.host, str(server.ports["http"]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.wire", _HOST, *target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.place = f"{_HOST}:{self._line()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        if self._process.stdout is None:
            raise AssertionError
        return self._process.stdout.readline().strip()

    def say(self, command: str) -> dict[str, Any]:
        """Give a command; returns what was counted."""
        if self._process.stdin is None:
            raise AssertionError
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._line())
        return found


class _Mesh:
    """A reference mesh that is built and published, and can be changed."""

    def __init__(self, bench: Bench, name: str, services: int) -> None:
        self.bench = bench
        self.services = services
        self.specs = bench.scratch / f"published-{name}"
        write_mesh(self.specs, services=services)
        self.build()

    @property
    def out(self) -> Path:
        return self.bench.kept(self.specs)

    def build(self) -> None:
        self.bench.build(self.specs, self.out, self.bench.cache(self.specs))

    def change(self, hosts: int) -> None:
        """Give one service another number of hosts, which all its callers have to know."""
        text = service_text(0, services=self.services, hosts=hosts, dependencies=10)
        (self.specs / f"{service_name(0)}.yaml").write_text(text)
        self.build()

    def publish(self, place: str, *more: str) -> dict[str, Any]:
        """Run the command; returns what it says."""
        said = run(
            MESHC,
            *("publish", "consul", "--out", self.out, "--format", "json"),
            *("--consul-address", place, *more),
        )
        found: dict[str, Any] = json.loads(said.output) | {"wall": said.seconds}
        return found


def publish_to_consul(bench: Bench) -> Iterator[Figure]:
    """All nodes into an empty Consul; then one service changes, in this mesh and in a tenth."""
    with (
        _consul(bench.scratch) as server,
        ConsulClient(server.settings, max_body=_MAX_BODY) as client,
    ):
        small, large = (
            _changed(bench, server, name, services)
            for name, services in (("small", bench.services // 10), ("large", bench.services))
        )
        mesh = large.mesh
        _empty(server)
        full = mesh.publish(server.address)
        entries = client.kv_list(f"{_ROOT}/blobs/").value + client.kv_list(f"{_ROOT}/nodes/").value
        one = _bare_puts(server, entries)
        yield Figure(
            name=f"publish {full['nodes']:,} nodes to an empty Consul",
            unit="s",
            value=full["wall"],
            floor_name=_FLOOR,
            floor=one * len(entries),
            ratio=full["wall"] / (one * len(entries)),
            max_ratio=1.0,
            details=f"{large.full_calls:,} calls for {len(entries):,} keys, "
            f"{full['bytes'] / 2**20:.0f} MiB",
        )
        yield Figure(
            name="publish one service with another host",
            unit="s",
            value=large.seconds,
            floor_name=_FLOOR,
            floor=one * large.keys,
            ratio=large.seconds / (one * large.keys),
            details=f"{large.nodes} nodes and {large.keys} keys in {large.calls} calls, "
            f"{large.sent / 1024:.0f} KiB sent",
        )
        yield Figure(
            name="its calls, in a mesh of a tenth of the nodes and in this one",
            unit="calls",
            value=large.calls,
            floor_name="the mesh of a tenth",
            floor=small.calls,
            ratio=large.calls / small.calls,
            max_ratio=1.2,
            details=f"{small.nodes} and {large.nodes} nodes of it change",
        )
        yield Figure(
            name="its bytes, likewise",
            unit="KiB",
            value=large.sent / 1024,
            floor_name="the mesh of a tenth",
            floor=small.sent / 1024,
            ratio=large.sent / small.sent,
            max_ratio=1.5,
        )
        unchanged = [mesh.publish(server.address)["wall"] for _ in range(bench.repeats)]
        yield Figure(
            name="publish what is published already",
            unit="s",
            value=statistics.median(unchanged),
        )


class _Change:
    """What one change of a mesh costs."""

    def __init__(self, mesh: _Mesh, full_calls: int, said: dict[str, Any]) -> None:
        self.mesh = mesh
        self.full_calls = full_calls
        self.seconds = float(said["wall"])
        self.nodes = len(said["written"])
        self.keys = self.nodes + int(said["blobs"])
        self.calls = 0
        self.sent = 0


def _changed(bench: Bench, server: ConsulServer, name: str, services: int) -> _Change:
    """Publish a mesh and then a change of it, the latter also with nothing in between."""
    _empty(server)
    mesh = _Mesh(bench, name, services)
    with _Wire(server) as wire:
        mesh.publish(wire.place)
        full_calls = sum(wire.say("count")["seconds"].values())
        mesh.change(_HOSTS + 1)
        said = mesh.publish(server.address)
        found = _Change(mesh, full_calls, said)
        mesh.change(_HOSTS)
        wire.say("reset")
        mesh.publish(wire.place)
        counted = wire.say("count")
        found.calls = sum(counted["seconds"].values())
        found.sent = counted["sent"]
    return found


def _empty(server: ConsulServer) -> None:
    status, said = server.call("DELETE", f"/v1/kv/{_ROOT}/?recurse=true")
    if status != http.client.OK:
        raise SystemExit(f"Consul does not delete: {said}")


def _bare_puts(server: ConsulServer, entries: Sequence[KvEntry]) -> float:
    """Write values of the same sizes under other keys; returns the seconds of one."""
    step = max(1, len(entries) // _SAMPLE)
    connection = http.client.HTTPConnection(server.host, server.ports["http"])
    chosen = entries[::step]
    started = time.perf_counter()
    for entry in chosen:
        connection.request("PUT", f"/v1/kv/bare/{entry.key}", entry.value)
        if connection.getresponse().read().strip() != b"true":
            raise SystemExit("a bare PUT was not done")
    seconds = time.perf_counter() - started
    connection.close()
    return seconds / len(chosen)


def consul_outage(bench: Bench) -> Iterator[Figure]:
    """500 agents' watches on one Consul that goes away, and comes back with something new."""
    outage_s = _OUTAGE_S if bench.repeats >= _FULL_REPEATS else _OUTAGE_S / 3
    with _consul(bench.scratch) as server:
        mesh = _Mesh(bench, "watched", _AGENTS // _HOSTS)
        before = mesh.publish(server.address)
        nodes = before["written"]
        with _Wire(server) as wire, _Watchers(wire.place, nodes) as watchers:
            watchers.await_build(before["generation"])
            wire.say("cut")
            time.sleep(outage_s)
            # All nodes have to fetch something: the admin interface is in every bootstrap.
            (mesh.specs / "mesh.yaml").write_text(f"name: {_MESH}\nadmin: {{port: 9911}}\n")
            mesh.build()
            after = mesh.publish(server.address)
            wire.say("reset")
            wire.say("mend")
            began = time.monotonic()
            last = watchers.await_build(after["generation"])
            seconds = wire.say("count")["seconds"]
    yield Figure(
        name=f"{len(nodes)} agents, Consul back after {outage_s:.0f} s: all have the news",
        unit="s",
        value=last - began,
        limit=_LIMIT_S,
    )
    yield Figure(
        name="most requests in one second meanwhile",
        unit="/s",
        value=max(seconds.values()),
        limit=_MOST_A_SECOND,
        details=f"{sum(seconds.values()):,} requests in all",
    )


class _Watchers:
    """Agents' sources, in a few processes."""

    def __init__(self, place: str, nodes: Sequence[str]) -> None:
        self._count = len(nodes)
        self._processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "benchmarks.watchers", place, _MESH),
                    *nodes[number::_PROCESSES],
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(_PROCESSES)
        ]
        self._seen: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> Self:
        import threading  # noqa: PLC0415, beside its one use

        for process in self._processes:
            threading.Thread(target=self._read, args=(process,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _read(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            raise AssertionError
        for line in process.stdout:
            moment, node, build = line.split()
            self._seen[node] = float(moment), build

    def await_build(self, build: str) -> float:
        """Wait until all have a build; returns the moment of the last."""
        limit = time.monotonic() + 3 * _LIMIT_S
        while True:
            moments = [at for at, seen in list(self._seen.values()) if seen == build]
            if len(moments) == self._count:
                return max(moments)
            if time.monotonic() > limit:
                raise SystemExit(f"{len(moments)} of {self._count} agents have the news")
            time.sleep(0.05)


_FULL_REPEATS = 5
PUBLICATION_FIGURES: tuple[Callable[[Bench], Iterator[Figure]], ...] = (
    publish_to_consul,
    consul_outage,
)
"""They bring their own meshes and their own Consul."""
