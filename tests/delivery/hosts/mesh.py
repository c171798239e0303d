"""A host of a compiled mesh: its target, a real Envoy on it, and `meshc agent` as a process."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin
from meshc.delivery.errors import AdminError
from meshc.pipeline import BuildOptions, build
from tests.delivery.live import envoy_or_skip, free_ports, until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROGRAM = Path(sys.executable).with_name("meshc")
FRONT = "127.0.45.1"
"""Everything of the host under test is at this address."""
NODE = "front1"
_END_S = 20
_COMMAND_S = 60

Address = tuple[str, int]


class Mesh:
    """Specs with one host under test, `front1`, and the bundle that is built from them.

    ``app`` are the hosts that front calls, by name; ``calls`` the ports of front's own Envoy
    for calls to other services, in the order of the spec.
    """

    def __init__(self, folder: Path, app: Mapping[str, Address]) -> None:
        self.specs = folder / "specs"
        self.out = folder / "out"
        self.specs.mkdir(parents=True)
        ingress, application, admin, call = free_ports(FRONT, 4)
        self.apps = dict(app)
        self.app = dict(app)
        self.ingress = ingress
        self.application: Address = (FRONT, application)
        self.admin: Address = (FRONT, admin)
        self.call = call
        self.calls = {"app": call}
        self.drain_time = "1s"

    def reset(self) -> None:
        """Go back to one host of app, called at the first port."""
        self.app = {"app1": self.apps["app1"]}
        self.calls = {"app": self.call}

    def write(self) -> None:
        """Write the specs."""
        services = {
            "mesh": f"name: hosts\nxdsDirectory: .\naccessLog: {{enabled: false}}\n"
            f"drainTime: {self.drain_time}\n"
            f"admin: {{host: {self.admin[0]}, port: {self.admin[1]}}}\n",
            "app": "protocol: HTTP\nhosts:\n"
            + "".join(_host(name, address, FRONT) for name, address in self.app.items()),
            "front": "protocol: HTTP\nhosts:\n"
            + _host(NODE, (FRONT, self.ingress), FRONT, self.application)
            + "dependentServices:\n"
            + "".join(f"- {{name: {name}, egressPort: {p}}}\n" for name, p in self.calls.items()),
        }
        for name in self.calls.keys() - {"app"}:
            services[name] = "protocol: HTTP\nhosts:\n" + _host(
                f"{name}1", (f"127.0.45.{10 + len(services)}", 8000), FRONT
            )
        for name, text in services.items():
            (self.specs / f"{name}.yaml").write_text(text)
        for path in self.specs.glob("*.yaml"):
            if path.stem not in services:
                path.unlink()

    def build(self) -> None:
        """Compile the specs into the bundle, as `meshc build` does."""
        self.write()
        result = build(self.specs, BuildOptions(out=self.out))
        assert not result.has_errors, result.diagnostics

    def versions(self) -> dict[str, str]:
        """Return what Envoy must say about the files of the bundle, by type."""
        folder = self.out / "nodes" / NODE
        return {
            kind: json.loads((folder / f"{kind.lower()}.json").read_bytes())["version_info"]
            for kind in ("CDS", "LDS")
        }

    def files(self) -> dict[str, str]:
        """Return the digest of each file of the host, as the manifest has it."""
        manifest = json.loads((self.out / "manifest.json").read_bytes())
        node = dict(manifest["nodes"][NODE])
        node.pop("runs")
        found = {
            f"services/{service}/{name}": manifest["services"][service][name]
            for service, names in node.pop("uses").items()
            for name in names
        }
        return found | node

    def forge(self, path: str, change: Callable[[Any], None]) -> None:
        """Change a file of the host as no compiler would, with digests that agree."""
        place = self.out / "nodes" / NODE / path
        old = place.read_bytes()
        content = json.loads(old)
        change(content)
        content["version_info"] = hashlib.sha256(repr(content).encode()).hexdigest()[:32]
        new = json.dumps(content).encode()
        manifest = self.out / "manifest.json"
        text = manifest.read_text()
        digest = hashlib.sha256(old).hexdigest()
        assert digest in text
        text = text.replace(digest, hashlib.sha256(new).hexdigest())
        self._replace(place, new)
        self._replace(manifest, text.encode())

    def _replace(self, place: Path, data: bytes) -> None:
        draft = place.with_name(f".{place.name}.forged")
        draft.write_bytes(data)
        draft.rename(place)


def _host(name: str, ingress: Address, egress: str, substance: Address | None = None) -> str:
    host, port = substance or (ingress[0], 1 + ingress[1] % 60000)
    return (
        f"- name: {name}\n"
        f"  ingressAddr: {{host: {ingress[0]}, port: {ingress[1]}}}\n"
        f"  substanceAddr: {{host: {host}, port: {port}}}\n"
        f"  egressHost: {egress}\n"
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def first(self) -> str:
        return (self.out + self.err).splitlines()[0] if self.out + self.err else ""


def meshc(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Said:
    """Run the installed program as a user does; a traceback is never an answer."""
    done = subprocess.run(
        [str(PROGRAM), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert "a mistake of meshc itself" not in done.stdout + done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


@dataclass(slots=True)
class Host:
    """The processes of `front1`; whatever runs is ended with the block."""

    mesh: Mesh
    target: Path
    envoy: subprocess.Popen[bytes] | None = None
    agent: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.target.parent / f"{self.target.name}-agent.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.end_agent()
        self.end_envoy()

    # --- Envoy ----------------------------------------------------------------------------------

    @property
    def admin(self) -> EnvoyAdmin:
        return EnvoyAdmin(AdminAddress(*self.mesh.admin))

    def start_envoy(self, *options: str) -> None:
        """Start an Envoy on the target and wait until it has taken the listeners' file."""
        command = [str(envoy_or_skip()), "-c", "bootstrap.json", "--concurrency", "1"]
        command += [
            "--disable-hot-restart",
            "--drain-time-s",
            self.mesh.drain_time.removesuffix("s"),
        ]
        log = self.target.parent / f"{self.target.name}-envoy.log"
        with log.open("ab") as stream:
            self.envoy = subprocess.Popen(
                [*command, *options], cwd=self.target, stdout=stream, stderr=stream
            )
        until(lambda: self._is_loaded(log), "a loaded Envoy")

    def _is_loaded(self, log: Path) -> bool:
        assert self.envoy is not None
        assert self.envoy.poll() is None, log.read_text()[-3000:]
        try:
            return "listener_manager.lds.version_text" in self.admin.versions()
        except AdminError:
            return False

    def end_envoy(self, number: int = signal.SIGKILL) -> None:
        """End the Envoy, by default as a crash does."""
        envoy, self.envoy = self.envoy, None
        _end(envoy, number)

    # --- the agent ------------------------------------------------------------------------------

    def arguments(self, *flags: str | Path) -> list[str]:
        """What every command that may deliver is told; flags that are given win."""
        said = {str(flag) for flag in flags}
        told = ["--target", str(self.target)]
        for name, value in (
            ("--node", NODE),
            ("--source", str(self.mesh.out)),
            ("--envoy", "none"),
            ("--poll", "1"),
            ("--probe", "0.2"),
        ):
            told += [] if name in said else [name, value]
        return told + [str(flag) for flag in flags]

    def start_agent(
        self, *flags: str | Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start the agent that follows the source."""
        with self.log.open("ab") as stream:
            self.agent = subprocess.Popen(
                [str(PROGRAM), "agent", "run", *self.arguments(*flags)],
                stdout=stream,
                stderr=stream,
                env={**os.environ, **(environment or {})},
            )
        return self.agent

    def end_agent(self, number: int = signal.SIGTERM) -> int | None:
        """End the agent, by default as the service manager does; returns its exit code."""
        agent, self.agent = self.agent, None
        return _end(agent, number)

    def is_current(self) -> bool:
        """Whether the target holds exactly the bundle's files, and the agent says it is so."""
        status = self.status()
        return (
            status.get("state") == "ok"
            and status["confirmed"]
            and status["desired"] == status["delivered"]
            and {path: hashlib.sha256(data).hexdigest() for path, data in self.files().items()}
            == self.mesh.files()
        )

    def has_leftovers(self) -> bool:
        """Whether the newest bundle runs, with clusters of the one before."""
        status = self.status()
        return (
            status.get("state") == "ok"
            and status["leftovers"]
            and status["desired"] == status["delivered"]
            and self.files()["lds.json"] == (self.mesh.out / f"nodes/{NODE}/lds.json").read_bytes()
        )

    def await_current(self) -> None:
        """Wait until what the mesh says lies on disk and is confirmed."""
        try:
            until(self.is_current, "the newest bundle, confirmed")
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure}; {json.dumps(self.status(), indent=1)}\n{self.words()}")

    def words(self) -> str:
        """Return the last words of the agent."""
        return self.log.read_text()[-3000:] if self.log.exists() else ""

    def meshc(self, command: str, *arguments: str | Path) -> Said:
        """Run an agent command that needs the target only."""
        return meshc("agent", command, "--target", self.target, *arguments)

    def once(self, *flags: str | Path) -> Said:
        """Deliver once."""
        return meshc("agent", "once", *self.arguments(*flags))

    # --- what is known --------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return the status file; empty where there is none yet, or none of the agent that runs."""
        try:
            found = json.loads((self.target / ".agent" / "status.json").read_bytes())
        except FileNotFoundError:
            return {}
        assert isinstance(found, dict)
        is_older = self.agent is not None and found["pid"] != self.agent.pid
        return {} if is_older else found

    def desired(self) -> str:
        return _generation(self.status(), "desired")

    def delivered(self) -> str:
        return _generation(self.status(), "delivered")

    def await_state(self, state: str) -> dict[str, Any]:
        """Wait until the status has a state."""
        try:
            until(lambda: self.status().get("state") == state, f"state {state}")
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure}; {json.dumps(self.status(), indent=1)}\n{self.words()}")
        return self.status()

    def history(self) -> list[dict[str, Any]]:
        """Return the history, as the command tells it to programs."""
        said = self.meshc("history", "--json", "-n", "1000")
        assert said.code == 0, said
        return [json.loads(line) for line in said.out.splitlines()]

    @property
    def metrics_socket(self) -> str:
        return str(self.target / ".agent" / "metrics.sock")

    def files(self) -> dict[str, bytes]:
        """Return the node's files in the target."""
        return {
            path.relative_to(self.target).as_posix(): path.read_bytes()
            for path in self.target.rglob("*.json")
            if ".agent" not in path.parts
        }

    def traces(self) -> dict[str, tuple[int, int]]:
        """Return what changes when a file of the target is replaced or written to."""
        return {
            path: ((self.target / path).stat().st_ino, (self.target / path).stat().st_mtime_ns)
            for path in self.files()
        }


def _generation(status: Mapping[str, Any], key: str) -> str:
    entry = status.get(key)
    return str(entry["generation"]) if entry else ""


def _end(process: subprocess.Popen[bytes] | None, number: int) -> int | None:
    if process is None:
        return None
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
    try:
        return process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_END_S)
        raise


def scrape(address: str | Address, path: str = "/metrics") -> str:
    """Ask for the metrics, on a Unix socket or a TCP address, as a scraper does."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as stream:
        stream.settimeout(10)
        stream.connect(address)
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: agent\r\n\r\n".encode())
        parts = []
        while part := stream.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def sample(text: str, name: str) -> float:
    """Return one value of a metrics page."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found is not None, f"no {name} in {text}"
    return float(found[1])
