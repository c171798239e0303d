"""A resident agent as a process of its own, without any Envoy: it follows and confirms nothing."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from meshc.artifact.manifest import render_manifest
from meshc.artifact.write import BundleWriter
from meshc.delivery.agent.__main__ import HEAP
from tests.artifact.bundles import HEADER
from tests.delivery.live import until
from tests.delivery.node_files import eds_cluster, endpoints, node_files, tcp_listener

Files = dict[str, bytes]
_OWN = ("bootstrap.json", "cds.json", "lds.json")
_LIMIT_S = 30.0


def numbered(number: int, *, services: tuple[str, ...] = ("app",)) -> Files:
    """A node's files; those of different numbers differ in the endpoints of each service."""
    return node_files(
        listeners=[
            tcp_listener(f"to-{name}", ("127.0.44.5", 9000 + place), name)
            for place, name in enumerate(services)
        ],
        clusters=[eds_cluster(name, name) for name in services],
        shared={
            f"{name}/eds.json": endpoints(f"v{number}", name, ("127.0.44.6", 1 + number % 60_000))
            for name in services
        },
    )


def publish(out: Path, files: Files) -> None:
    """Write a bundle for node ``n1`` as a build does."""

    def digest(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    shared = {path: data for path, data in files.items() if path not in _OWN}
    own: dict[str, Any] = {name: digest(files[name]) for name in _OWN}
    services: dict[str, dict[str, str]] = {}
    for path, data in shared.items():
        _, service, name = path.split("/")
        services.setdefault(service, {})[name] = digest(data)
    own["uses"] = {service: sorted(names) for service, names in services.items()}
    manifest = render_manifest(
        HEADER,
        services={name: json.dumps(entry) for name, entry in services.items()},
        nodes={"n1": json.dumps(own)},
        origins={},
    )
    with BundleWriter(out) as writer:
        for path, data in files.items():
            writer.stage(f"nodes/n1/{path}" if path in _OWN else path, data)
        writer.commit(manifest, [])


def lying(target: Path) -> Files:
    """What lies in a target: the files that an Envoy would read."""
    places = [target / name for name in _OWN] + sorted((target / "services").glob("*/*.json"))
    return {
        place.relative_to(target).as_posix(): place.read_bytes()
        for place in places
        if place.is_file()
    }


@dataclass(slots=True)
class Resident:
    """Use it as a context manager; ``program`` is run in the place of the plain module."""

    root: Path
    settings: dict[str, Any] = field(default_factory=dict)
    program: tuple[str, ...] = (sys.executable, "-m", "meshc.delivery.agent")
    environment: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        given = {
            "node": "n1",
            "source": str(self.root / "out"),
            "target": str(self.target),
            "state": str(self.target / ".agent"),
            "unconfirmed": True,
            "unconfirmed_wait": 0.0,
            "envoy": "none",
            "metrics": "none",
            "log": "json",
            **self.settings,
        }
        with (self.root / "log").open("ab") as stream:
            self._process = subprocess.Popen(
                [*self.program, json.dumps(given)],
                stderr=stream,
                env={**os.environ, **HEAP, **self.environment},
            )
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def target(self) -> Path:
        return self.root / "target"

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has logged; other lines are of the interpreter."""
        lines = (self.root / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]

    def status(self) -> dict[str, Any]:
        try:
            found = json.loads((self.target / ".agent/status.json").read_bytes())
        except FileNotFoundError:
            return {}
        assert isinstance(found, dict)
        return found

    def await_files(self, files: Files) -> None:
        """Wait until exactly these files lie in the target, and the agent knows it."""

        def are_there() -> bool:
            assert self.process.poll() is None, (self.root / "log").read_text()
            status = self.status()
            is_known = status.get("desired") == status.get("delivered") is not None
            return lying(self.target) == files and is_known and not status["delivering"]

        until(are_there, "the newest files", _LIMIT_S)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(_LIMIT_S)

    def proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()
