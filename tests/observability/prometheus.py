"""A real Prometheus with the configuration of `deploy/prometheus`: where it is from, how it runs.

``python -m tests.observability.prometheus`` builds it into the cache: packages of distributions
lack the discovery through Consul.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.delivery.live import free_ports, until
from tests.tools.from_source import GoProgram, run_go

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "prometheus"
PROGRAM = GoProgram(
    name="prometheus-3.5.0",
    module="github.com/prometheus/prometheus",
    version="v0.305.0",  # what Prometheus 3.5.0, the long-term release, is called as a module
    digest="h1:UO/LsM32/E9yBDtvQj8tN+WwhbyWKR10lO35vmFLx0U=",
    made={"prometheus": "./cmd/prometheus", "promtool": "./cmd/promtool"},
    flags=("-ldflags=-s -w -X github.com/prometheus/common/version.Version=3.5.0",),
)
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _with_consul_only(source: Path) -> None:
    """Leave the other 24 discoveries out, as its README says, with the clouds that they bring."""
    plugins = "- github.com/prometheus/prometheus/discovery/consul\n"
    (source / "plugins.yml").write_text(plugins)
    run_go(source / "plugins", "generate", "-tags", "plugins", ".")


def program_or_skip(name: str) -> str:
    """A program of Prometheus; skips where it was not built, and fails in CI."""
    if not PROGRAM.is_there:
        message = f"no {name} in {PROGRAM.folder}: make prometheus"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return str(PROGRAM.path(name))


class Prometheus:
    """Asks a Prometheus' API."""

    def __init__(self, host: str, port: int) -> None:
        self._where = f"http://{host}:{port}"

    def get(self, path: str, **query: str) -> Any:
        url = f"{self._where}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with _NO_PROXY.open(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def targets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("targets", state="active")["activeTargets"]
        return found

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression as it is now."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def numbers(self, expression: str) -> list[float]:
        """Return the values of an expression that are numbers."""
        values = [float(series["value"][1]) for series in self.query(expression)]
        return [value for value in values if math.isfinite(value)]

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.get("status/runtimeinfo"))
        return False


def configuration(folder: Path, consul: str, token: str) -> Path:
    """Copy what is deployed; only Consul's address, the token and the pace are another."""
    shutil.copytree(DEPLOY, folder)
    place = folder / "prometheus.yml"
    text = place.read_text()
    for old, new in (("consul:8500", consul), ("15s", "1s")):
        assert old in text
        text = text.replace(old, new)
    place.write_text(text)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "token").write_text(token)
    return place


@contextlib.contextmanager
def running_prometheus(folder: Path, host: str, consul: str, token: str) -> Iterator[Prometheus]:
    """Run a Prometheus that asks a Consul at ``HOST:PORT``, and end it."""
    program = program_or_skip("prometheus")
    config = configuration(folder / "prometheus", consul, token)
    [port] = free_ports(host, 1)
    options = {
        "config.file": str(config),
        "storage.tsdb.path": str(folder / "data"),
        "web.listen-address": f"{host}:{port}",
        "log.level": "warn",
    }
    log = folder / "prometheus.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [program, *(f"--{key}={value}" for key, value in options.items())],
            stdout=stream,
            stderr=stream,
        )
    prometheus = Prometheus(host, port)
    try:

        def serves() -> bool:
            assert process.poll() is None, log.read_text()[-3000:]
            return prometheus.is_ready()

        until(serves, "a Prometheus that answers")
        yield prometheus
    finally:
        process.kill()  # what it has measured is of no use to anybody
        process.wait()


if __name__ == "__main__":
    raise SystemExit(PROGRAM.bring(_with_consul_only))
