"""Two generations of a bundle, the servers that push them, and the process that has all clients."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.measure import MESHC
from meshc.artifact.manifest import Manifest
from meshc.delivery.xds.content.bundles import ManifestBundles
from meshc.delivery.xds.content.library import Library
from meshc.delivery.xds.content.rewrite import Variant
from meshc.delivery.xds.protocol.types import ENDPOINT
from meshc.delivery.xds.protocol.wire import response
from meshc.proto import known_versions, load_schema
from tests.delivery.live import free_ports
from tests.tools.from_source import TOOLS, run_go

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.figures import Bench

_GO_SOURCE = Path(__file__).parent / "go_reference"
_GO = TOOLS / "go-reference-0.14.0" / "go_reference"
_HOSTS = 650
"""Hosts of the service that changes: 20 KB of endpoints."""
_SERVICE = "app"
_HOST = "127.0.0.1"
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


class Content:
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
class Costs:
    """What a server has used so far."""

    cpu_s: float
    resident_mib: float


class Server:
    """One server as a process, which pushes when it is told."""

    name = ""

    def __init__(self, content: Content, command: Sequence[str | Path], port: int) -> None:
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
        try:
            self.await_ready()
        except BaseException:
            self.__exit__()
            raise
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

    def costs(self) -> Costs:
        """Return what it has used so far."""
        place = Path(f"/proc/{self.process.pid}")
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        [resident] = [
            line.split()[1]
            for line in (place / "status").read_text().splitlines()
            if line.startswith("VmRSS:")
        ]
        return Costs((int(fields[11]) + int(fields[12])) / _TICKS, int(resident) / 1024)


class Bare(Server):
    """The floor."""

    name = "a bare loop on grpc.aio"

    def __init__(self, content: Content) -> None:
        [port] = free_ports(_HOST, 1)
        responses = (content.folder / "a.response", content.folder / "b.response")
        super().__init__(
            content, (sys.executable, "-m", "benchmarks.bare_grpc", str(port), *responses), port
        )


class Go(Server):
    """The reference."""

    name = "go-control-plane 0.14.0"

    def __init__(self, content: Content, program: Path) -> None:
        [port] = free_ports(_HOST, 1)
        files = (content.folder / "a.any", content.folder / "b.any")
        super().__init__(content, (program, f"127.0.0.1:{port}", content.nodes, *files), port)


class Meshc(Server):
    """`meshc serve`, as it is installed, on a folder."""

    name = "meshc serve"

    def __init__(self, content: Content, *more: str | Path) -> None:
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


class Clients:
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
