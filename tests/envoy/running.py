"""One real Envoy on a folder of files, and what its admin interface says."""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_S = 20
_PAUSE_S = 0.02
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class RunningEnvoy:
    """Asks the admin interface of an Envoy that runs."""

    admin: str
    log: Path

    def get(self, path: str) -> str:
        with _NO_PROXY.open(f"http://{self.admin}{path}", timeout=_PATIENCE_S) as answer:
            text: str = answer.read().decode()
            return text

    def stats(self) -> dict[str, Any]:
        entries = json.loads(self.get("/stats?format=json"))["stats"]
        return {entry["name"]: entry["value"] for entry in entries if "name" in entry}

    def texts(self) -> dict[str, str]:
        lines = self.get("/stats?type=TextReadouts").splitlines()
        pairs = [line.partition(": ") for line in lines]
        return {name: value.strip('"') for name, _, value in pairs}

    def config(self) -> list[dict[str, Any]]:
        dump: list[dict[str, Any]] = json.loads(self.get("/config_dump?include_eds"))["configs"]
        return dump


@contextlib.contextmanager
def running_envoy(binary: Path, folder: Path, bootstrap: str) -> Iterator[RunningEnvoy]:
    """Start an Envoy in a folder, wait until it serves, and end it; bootstrap is relative."""
    address = json.loads((folder / bootstrap).read_text())["admin"]["address"]["socket_address"]
    host = f"[{address['address']}]" if ":" in address["address"] else address["address"]
    log = folder / "envoy.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [binary, "-c", bootstrap, "--concurrency", "1", "--disable-hot-restart", "-l", "warn"],
            cwd=folder,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    envoy = RunningEnvoy(f"{host}:{address['port_value']}", log)
    try:
        _wait_until_live(envoy, process)
        yield envoy
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_live(envoy: RunningEnvoy, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"Envoy ended with {process.returncode}:\n{envoy.log.read_text()}")
        with contextlib.suppress(OSError):
            if envoy.get("/ready").startswith("LIVE"):
                return
        time.sleep(_PAUSE_S)
    pytest.fail(f"Envoy was not ready after {_PATIENCE_S} s:\n{envoy.log.read_text()}")


@contextlib.contextmanager
def alone_on_this_machine(what: str) -> Iterator[None]:
    """Hold a lock that all test runs on this machine share, for those with fixed addresses."""
    path = Path(tempfile.gettempdir()) / f"meshc-tests-{what}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
