"""A node's Envoy and its agent as processes, and what the agent says about itself."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.campaigns.load.mesh import NODE
from tests.delivery.live import envoy_or_skip

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

LIMIT_S = 60.0
_ROOT = Path(__file__).resolve().parents[3]
PROGRAM = (sys.executable, "-m", "meshc", "agent", "run")
"""The resident agent as anybody starts it."""


@contextlib.contextmanager
def envoy(
    directory: Path, admin: tuple[str, int], *, workers: int, drain_s: int
) -> Iterator[subprocess.Popen[bytes]]:
    """An Envoy on ``bootstrap.json`` in a directory, until the block ends."""
    command = [str(envoy_or_skip()), "-c", "bootstrap.json", "--disable-hot-restart"]
    command += ["--concurrency", str(workers), "--drain-time-s", str(drain_s)]
    with (directory / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
    try:
        wait_until(lambda: _is_live(process, admin), "an Envoy that is live")
        yield process
    finally:
        process.terminate()
        process.wait(20)


def wait_until(condition: Callable[[], bool], what: str, *, pause_s: float = 0.01) -> None:
    """Wait for something that has to come.

    Raises:
        TimeoutError: it does not.
    """
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not in time: {what}")
        time.sleep(pause_s)


def ask_admin(admin: tuple[str, int], path: str) -> bytes:
    """Ask Envoy's admin interface, not through meshc."""
    with urllib.request.urlopen(f"http://{admin[0]}:{admin[1]}{path}", timeout=20) as answer:
        data: bytes = answer.read()
        return data


def _is_live(process: subprocess.Popen[bytes], admin: tuple[str, int]) -> bool:
    assert process.poll() is None, "Envoy ended at once"
    try:
        return ask_admin(admin, "/ready").startswith(b"LIVE")
    except OSError:
        return False


class Agent:
    """The resident agent, which may be killed and started again."""

    def __init__(
        self,
        source: Path,
        target: Path,
        state: Path,
        *,
        program: tuple[str, ...] = PROGRAM,
        flags: tuple[str, ...] = (),
    ) -> None:
        self.state = state
        self._log = state.with_name("agent.log")
        self._command = [
            *(*program, "--node", NODE, "--source", str(source), "--target", str(target)),
            *("--state", str(state), "--max-shrink", "0.9", "--log", "json", *flags),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is not ready yet when this returns."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=_ROOT,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def has_begun(self) -> bool:
        """Whether it is, or was when it was killed, in the midst of a delivery."""
        ledger = json.loads((self.state / "ledger.json").read_bytes())
        return ledger["ledger"]["intent"] is not None

    def kill(self) -> None:
        """Kill it where it stands."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def status(self) -> dict[str, Any]:
        """What it has written about itself last; nothing before the first time."""
        try:
            found: dict[str, Any] = json.loads((self.state / "status.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def scrape(self) -> str:
        """Ask for its metrics, as a scraper does."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(LIMIT_S)
            stream.connect(str(self.state / "metrics.sock"))
            stream.sendall(b"GET /metrics HTTP/1.1\r\nHost: agent\r\n\r\n")
            parts = []
            while part := stream.recv(1 << 16):
                parts.append(part)
        return b"".join(parts).decode()

    def words(self) -> list[dict[str, Any]]:
        """Everything in its log, over all of its lives."""
        return [
            json.loads(line) for line in self._log.read_bytes().splitlines() if line[:1] == b"{"
        ]

    def await_confirmed(self, generation: str) -> None:
        """Wait until it says that Envoy has confirmed this generation, and that nothing is left.

        Raises:
            TimeoutError: it takes too long; says what the agent says instead.
        """
        end = time.monotonic() + LIMIT_S
        while not _is_confirmed(self.status(), generation):
            if not self.is_running:
                raise TimeoutError(f"the agent has ended: {self._tail()}")
            if time.monotonic() > end:
                summary = self.status().get("summary")
                raise TimeoutError(f"{generation[:12]} not confirmed: {summary}; {self._tail()}")
            time.sleep(0.01)

    def _tail(self) -> str:
        return " | ".join(self._log.read_text(errors="replace").splitlines()[-5:])


def _is_confirmed(status: dict[str, Any], generation: str) -> bool:
    delivered, desired = (status.get(what) or {} for what in ("delivered", "desired"))
    return (
        status.get("state") == "ok"
        and status.get("confirmed") is True
        and status.get("delivering") is None
        and delivered.get("generation") == generation
        and desired.get("generation") == generation
    )
