"""Figures of `meshc serve` beside a bare loop and a control plane in Go, with the same clients.

One service has one host less, so everybody who calls it is sent 20 KB of endpoints.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.measure import MESHC, Figure, python
from meshc.artifact.manifest import Manifest
from meshc.delivery.xds.bundles import ManifestBundles
from meshc.delivery.xds.library import Library
from meshc.delivery.xds.rewrite import Variant
from meshc.delivery.xds.types import ENDPOINT
from meshc.delivery.xds.wire import response
from meshc.proto import known_versions, load_schema
from tests.consul.authority import Authority
from tests.delivery.live import free_ports
from tests.tools.from_source import TOOLS, run_go

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.figures import Bench

_GO_SOURCE = Path(__file__).parent / "go_reference"
_GO = TOOLS / "go-reference-0.14.0" / "go_reference"
_HOSTS = 600
"""Hosts of the service that changes: 20 KB of endpoints."""
_SERVICE = "app"
_HOST = "127.0.0.1"
_CERTIFICATES = 10
_MTLS_RATE = 500
_MOST_TIME: tuple[float, float] = (1.3, 1.0)
_MOST_MEMORY: tuple[float | None, float | None] = (None, 0.4)
"""Beside the bare loop, and beside Go."""
_LIMIT_S = 180
_TICKS = os.sysconf("SC_CLK_TCK")


def go_reference() -> Path | None:
    """Return the control plane in Go, built once; None where there is no Go to build it with."""
    newest = max(path.stat().st_mtime for path in _GO_SOURCE.iterdir())
    if _GO.is_file() and _GO.stat().st_mtime >= newest:
        return _GO
    if shutil.which("go") is None:
        return None
    _GO.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=TOOLS) as folder:
        try:
            run_go(_GO_SOURCE, "build", "-trimpath", "-buildvcs=false", "-o", f"{folder}/made", ".")
        except subprocess.CalledProcessError as error:
            print(f"  the reference in Go cannot be built: {error}", file=sys.stderr)
            return None
        Path(folder, "made").replace(_GO)
    return _GO


class _Content:
    """Two generations of a bundle, and what of them each server is started with."""

    def __init__(self, bench: Bench, nodes: int) -> None:
        self.folder = bench.scratch / f"serving-{nodes}"
        self.folder.mkdir()
        self.current = self.folder / "current"
        for name, hosts in (("a", _HOSTS), ("b", _HOSTS - 1)):
            specs = self.folder / f"specs-{name}"
            _write_specs(specs, nodes, hosts)
            bench.build(specs, self.folder / name, self.folder / "cache")
            self._write_resources(name)
        self.show("a")
        self.nodes = self.folder / "nodes"
        self.nodes.write_text("".join(f"front-{number}\n" for number in range(nodes)))

    def show(self, name: str) -> None:
        """Put a generation where `meshc serve` looks."""
        new = self.folder / "new"
        new.symlink_to(name)
        new.rename(self.current)

    def _write_resources(self, name: str) -> None:
        out = self.folder / name
        manifest = Manifest.parse((out / "manifest.json").read_bytes())
        library = Library(load_schema(known_versions()[-1]))
        bundles = ManifestBundles(manifest, lambda path: (out / path).read_bytes(), library)
        snapshot = bundles.snapshot("front-0", Variant.AGGREGATED)
        every = [one for kind in snapshot.types.values() for one in kind.resources.values()]
        # A field of a response is a tag, a length and an Any: what follows the tag is a message
        # after its length.
        messages = [b"".join(one.whole)[1:] for one in every]
        (self.folder / f"{name}.any").write_bytes(b"".join(messages))
        endpoints = snapshot.of(ENDPOINT).resources[_SERVICE]
        (self.folder / f"{name}.response").write_bytes(
            response(type_url=ENDPOINT, version=name * 32, nonce="1", resources=endpoints.whole)
        )


def _write_specs(root: Path, nodes: int, hosts: int) -> None:
    root.mkdir()
    (root / "mesh.yaml").write_text("name: bench\n")
    app = ["protocol: HTTP", "hosts:"]
    app += [
        _host(f"app-{number}", f"10.9.{number // 250}.{number % 250 + 1}")
        for number in range(hosts)
    ]
    (root / f"{_SERVICE}.yaml").write_text("\n".join(app) + "\n")
    front = ["protocol: HTTP", "hosts:"]
    front += [
        _host(f"front-{number}", f"10.8.{number // 250}.{number % 250 + 1}")
        + "\n  egressHost: 127.0.0.1"
        for number in range(nodes)
    ]
    front += ["dependentServices:", f"- name: {_SERVICE}", "  egressPort: 9001"]
    (root / "front.yaml").write_text("\n".join(front) + "\n")


def _host(name: str, address: str) -> str:
    return (
        f"- name: {name}\n  ingressAddr: {{host: {address}, port: 8080}}\n"
        "  substanceAddr: {host: 127.0.0.1, port: 9000}"
    )


@dataclass(slots=True)
class _Costs:
    """What a server has used so far."""

    cpu_s: float
    resident_mib: float


class _Server:
    """One server as a process, which pushes when it is told."""

    name = ""

    def __init__(self, content: _Content, command: Sequence[str | Path], port: int) -> None:
        self.content = content
        self.port = port
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        self.await_ready()
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.process.communicate()

    def await_ready(self) -> None:
        """Wait until it listens."""
        if self.process.stdout is None or self.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{self.name} does not start")

    def push(self) -> float:
        """Tell it to send the other generation; returns when that was, in seconds of the clock."""
        if self.process.stdin is None:
            raise AssertionError
        at = time.time()
        self.process.stdin.write("push\n")
        self.process.stdin.flush()
        return at

    def signal(self, told: float) -> float:
        """Return when it began to send, after it was told."""
        return told

    def costs(self) -> _Costs:
        """Return what it has used so far."""
        place = Path(f"/proc/{self.process.pid}")
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        [resident] = [
            line.split()[1]
            for line in (place / "status").read_text().splitlines()
            if line.startswith("VmRSS:")
        ]
        return _Costs((int(fields[11]) + int(fields[12])) / _TICKS, int(resident) / 1024)


class _Bare(_Server):
    """The floor."""

    name = "a bare loop on grpc.aio"

    def __init__(self, content: _Content) -> None:
        [port] = free_ports(_HOST, 1)
        responses = (content.folder / "a.response", content.folder / "b.response")
        super().__init__(
            content, (sys.executable, "-m", "benchmarks.bare_grpc", str(port), *responses), port
        )


class _Go(_Server):
    """The reference."""

    name = "go-control-plane 0.14.0"

    def __init__(self, content: _Content, program: Path) -> None:
        [port] = free_ports(_HOST, 1)
        files = (content.folder / "a.any", content.folder / "b.any")
        super().__init__(content, (program, f"127.0.0.1:{port}", content.nodes, *files), port)


class _Meshc(_Server):
    """`meshc serve`, as it is installed, on a folder."""

    name = "meshc serve"

    def __init__(self, content: _Content, *more: str | Path) -> None:
        [port, self._control] = free_ports(_HOST, 2)
        self._shown = "a"
        content.show("a")
        super().__init__(
            content,
            (
                *(MESHC, "serve", "--source", content.current, "--listen", f"127.0.0.1:{port}"),
                *("--control", f"127.0.0.1:{self._control}", "--poll", "0.05"),
                *(more or ("--plaintext",)),
            ),
            port,
        )

    def await_ready(self) -> None:
        """Wait until it listens."""
        limit = time.monotonic() + _LIMIT_S
        while time.monotonic() < limit:
            with contextlib.suppress(OSError):
                self._get("/healthz")
                return
            time.sleep(0.05)
        raise SystemExit("meshc serve does not start")

    def push(self) -> float:
        """Put the other generation where it looks."""
        self._shown = "b" if self._shown == "a" else "a"
        at = time.time()
        self.content.show(self._shown)
        return at

    def signal(self, told: float) -> float:
        """Return when it had found, read and prepared what is new, and began to send."""
        del told
        found = dict(
            line.split() for line in self._get("/metrics").splitlines() if line.count(" ") == 1
        )
        loaded = float(found["meshc_serve_loaded_timestamp_seconds"])
        return loaded - float(found["meshc_serve_switch_seconds"])

    def _get(self, path: str) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self._control}{path}", timeout=30) as answer:
            return str(answer.read().decode())


class _Clients:
    """The process that has all clients."""

    def __init__(self, count: int, places: Sequence[str]) -> None:
        self.count = count
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.streams", str(count), _SERVICE, *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def tell(self, command: str) -> None:
        """Give a command."""
        if self._process.stdin is None:
            raise AssertionError
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return what came of it."""
        if self._process.stdout is None:
            raise AssertionError
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


@dataclass(slots=True)
class _Run:
    """What was measured of one server."""

    server: _Server
    connect_s: float = 0.0
    lost: int = 0
    before_mib: float = 0.0
    after_mib: float = 0.0
    cpu_s: float = 0.0
    size: int = 0
    pushes: list[float] = field(default_factory=list)
    """From the signal to the last byte, in ms."""
    whole: list[float] = field(default_factory=list)
    """From the moment that it was told, in ms."""


def _measured(servers: Sequence[_Server], clients: _Clients, pushes: int) -> list[_Run]:
    """Connect to all servers, then push from each in turn."""
    runs = [_Run(server) for server in servers]
    for number, run in enumerate(runs):
        clients.tell(f"connect {number}")
        found = clients.answer()
        run.connect_s = found["ended"] - found["started"]
        run.lost = found["lost"] + found["late"]
        run.before_mib = run.server.costs().resident_mib
    for _ in range(pushes):
        for number, run in enumerate(runs):
            clients.tell(f"await {number}")
            before = run.server.costs().cpu_s
            told = run.server.push()
            found = clients.answer()
            run.cpu_s += run.server.costs().cpu_s - before
            run.pushes.append((found["ended"] - run.server.signal(told)) * 1000)
            run.whole.append((found["ended"] - told) * 1000)
            run.lost = max(run.lost, found["lost"] + found["late"])
            run.size = found["size"]
    for run in runs:
        run.after_mib = run.server.costs().resident_mib
    return runs


def serve_push(bench: Bench) -> Iterator[Figure]:
    """20 KB to a thousand and to five thousand streams at once."""
    program = go_reference()
    for count in (300,) if bench.is_quick else (1_000, 5_000):
        content = _Content(bench, count)
        with contextlib.ExitStack() as stack:
            servers: list[_Server] = [stack.enter_context(_Meshc(content))]
            servers.append(stack.enter_context(_Bare(content)))
            if program is not None:
                servers.append(stack.enter_context(_Go(content, program)))
            places = [str(server.port) for server in servers]
            clients = stack.enter_context(_Clients(count, places))
            ours, *others = _measured(servers, clients, max(7, bench.repeats))
        yield from _figures(count, ours, others)


def _figures(count: int, ours: _Run, others: Sequence[_Run]) -> Iterator[Figure]:
    lost = "" if not ours.lost else f"!{ours.lost} streams were lost"
    size = ours.size / 1024
    for other, most in zip(others, _MOST_TIME, strict=False):
        yield Figure(
            name=f"serve: push of {size:.0f} KiB to {count:,} streams, last byte",
            unit="ms",
            value=statistics.median(ours.pushes),
            floor_name=other.server.name,
            floor=statistics.median(other.pushes),
            ratio=statistics.median(
                mine / its for mine, its in zip(ours.pushes, other.pushes, strict=True)
            ),
            max_ratio=most,
            details=lost
            or f"from the change in the folder: {statistics.median(ours.whole):.0f} ms",
        )
    if len(others) == 1:
        yield Figure(
            name=f"serve: the same beside Go, {count:,} streams",
            unit="ms",
            value=statistics.median(ours.pushes),
            details="not measured: there is no Go here",
        )
    for other, most_memory in zip(others, _MOST_MEMORY, strict=False):
        yield Figure(
            name=f"serve: resident after the pushes, {count:,} streams",
            unit="MiB",
            value=ours.after_mib,
            floor_name=other.server.name,
            floor=other.after_mib,
            ratio=ours.after_mib / other.after_mib,
            max_ratio=most_memory,
            details=f"before them {ours.before_mib:.0f} and {other.before_mib:.0f} MiB",
        )
    for other in others:
        mine, its = (one.cpu_s / count / len(one.pushes) * 1e6 for one in (ours, other))
        yield Figure(
            name=f"serve: CPU of a push and its acknowledgement, {count:,} streams",
            unit="us",
            value=mine,
            floor_name=other.server.name,
            floor=its,
            ratio=mine / its if its else None,
        )
    for other in others:
        yield Figure(
            name=f"serve: {count:,} streams connect at once, all answered",
            unit="ms",
            value=ours.connect_s * 1000,
            floor_name=other.server.name,
            floor=other.connect_s * 1000,
            ratio=ours.connect_s / other.connect_s,
            details=f"{'!' if ours.lost else ''}lost: {ours.lost} and {other.lost}",
        )


def serve_mtls(bench: Bench) -> Iterator[Figure]:
    """The same over mTLS, beside the plaintext."""
    count = 300 if bench.is_quick else 5_000
    content = _Content(bench, count + 1)
    authority = Authority(content.folder / "tls", "bench")
    for number in range(_CERTIFICATES):
        authority.issue(f"front-{number}", f"DNS:front-{number}")
    own = authority.issue("server", "DNS:localhost")
    tls = ("--cert", own.file, "--key", own.key, "--client-ca", authority.file)
    with _Meshc(content, *tls) as encrypted, _Meshc(content) as plain:
        places = [f"{encrypted.port}:{content.folder / 'tls'},{_CERTIFICATES}", str(plain.port)]
        with _Clients(count, places) as clients:
            ours, other = _measured([encrypted, plain], clients, max(7, bench.repeats))
    value = statistics.median(ours.pushes)
    yield Figure(
        name=f"serve: push to {count:,} streams over mTLS, last byte",
        unit="ms",
        value=value,
        floor_name="plaintext",
        floor=statistics.median(other.pushes),
        ratio=statistics.median(a / b for a, b in zip(ours.pushes, other.pushes, strict=True)),
        limit=count / _MTLS_RATE * 1000,
        details=f"!{ours.lost} streams were lost"
        if ours.lost
        else f"{count / value * 1000:,.0f} responses a second, {count:,} streams connected in "
        f"{ours.connect_s:.1f} s, {ours.after_mib:.0f} MiB resident beside {other.after_mib:.0f}",
    )


def serve_loading(bench: Bench) -> Iterator[Figure]:
    """All nodes of the reference mesh at once in one server: time and memory."""
    out = bench.kept(bench.specs)
    samples = []
    for _ in range(bench.repeats):
        found = json.loads(python("benchmarks.loading", "all", out).output)
        floor = json.loads(python("benchmarks.loading", "floor", out).output)
        samples.append((found, floor))
    found = samples[0][0]
    yield Figure(
        name=f"serve: all {found['nodes']:,} nodes of a bundle loaded",
        unit="s",
        value=statistics.median(mine["seconds"] for mine, _ in samples),
        floor_name="the manifest and every distinct file read and parsed once",
        floor=statistics.median(floor["seconds"] for _, floor in samples),
        ratio=statistics.median(mine["seconds"] / floor["seconds"] for mine, floor in samples),
        details=f"{found['resources']:,} distinct resources for {found['uses']:,} uses",
    )
    yield Figure(
        name="its memory",
        unit="MiB",
        value=statistics.median(mine["resident_mib"] for mine, _ in samples),
        floor_name="a process that has imported the server",
        floor=statistics.median(mine["imported_mib"] for mine, _ in samples),
    )


SERVING_FIGURES: tuple[Callable[[Bench], Iterator[Figure]], ...] = (
    serve_push,
    serve_mtls,
    serve_loading,
)
