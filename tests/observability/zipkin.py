"""A real Zipkin server: where its file comes from, and how one runs for a test.

``python -m tests.observability.zipkin`` brings the file into the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.delivery.live import free_ports, until
from tests.tools.from_source import TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "3.5.1"
# Without `slim` it has storages and collectors that nobody here uses, and twice the size.
ARTIFACT = f"io.zipkin:zipkin-server:{VERSION}:jar:slim"
SHA256 = "7956e7f2c64b7073e1362b81e697fceb5fe61e121ad3cb48d545461026964b0f"
JAR = TOOLS / f"zipkin-{VERSION}" / "zipkin.jar"
_START_LIMIT_S = 60
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch() -> None:
    """Bring the server's file into the cache with Maven, as Maven is set up on this machine."""
    if JAR.exists():
        return
    JAR.parent.mkdir(parents=True, exist_ok=True)
    maven = ["mvn", "--batch-mode", "--quiet"]
    with tempfile.TemporaryDirectory(dir=JAR.parent) as folder:
        # What it depends on is in it already.
        goals = ("dependency:get", "-Dtransitive=false"), ("dependency:copy",)
        for goal in goals:
            subprocess.run(
                [*maven, *goal, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"], check=True
            )
        [brought] = Path(folder).glob("*.jar")
        found = hashlib.sha256(brought.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{brought.name} has the SHA-256 {found} and not {SHA256}; it is not used")
        brought.replace(JAR)


def zipkin_or_skip() -> list[str]:
    """How Zipkin is started here; skips where there is none, and fails in CI."""
    java = shutil.which("java")
    missing = "no java" if java is None else f"no Zipkin at {JAR}: make zipkin"
    if java is None or not JAR.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{missing}; CI must have it")
        pytest.skip(missing)
    return [java, "-Xmx192m", "-XX:TieredStopAtLevel=1", "-jar", str(JAR)]


class Zipkin:
    """Asks a Zipkin server's API."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    def get(self, path: str, **query: str | int) -> Any:
        url = f"http://{self.host}:{self.port}{path}?{urllib.parse.urlencode(query)}"
        with _NO_PROXY.open(url, timeout=10) as answer:
            return json.loads(answer.read())

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the spans of a trace, the earliest first; none where it is not known."""
        try:
            spans: list[dict[str, Any]] = self.get(f"/api/v2/trace/{trace_id}")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != http.client.NOT_FOUND:
                raise
            return []
        return sorted(spans, key=lambda span: int(span["timestamp"]))

    def is_up(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.get("/health")["status"] == "UP")
        return False


@contextlib.contextmanager
def running_zipkin(folder: Path, host: str) -> Iterator[Zipkin]:
    """Run a server that keeps what it is told in memory, and end it."""
    command = zipkin_or_skip()
    [port] = free_ports(host, 1)
    place = {"ip": host, "port": port, "protocols[0]": "http"}
    log = folder / "zipkin.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, *(f"--armeria.ports[0].{key}={value}" for key, value in place.items())],
            cwd=folder,
            env={**os.environ, "STORAGE_TYPE": "mem", "QUERY_PORT": str(port)},
            stdout=stream,
            stderr=stream,
        )
    zipkin = Zipkin(host, port)
    try:

        def serves() -> bool:
            assert process.poll() is None, log.read_text()[-3000:]
            return zipkin.is_up()

        until(serves, "a Zipkin that serves", _START_LIMIT_S)
        yield zipkin
    finally:
        process.kill()  # there is nothing to keep, and its orderly end takes seconds
        process.wait()


if __name__ == "__main__":
    fetch()
