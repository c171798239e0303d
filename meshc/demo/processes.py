"""Processes that end with the demonstration, whichever way it ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshc.demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshc.demo.signals import Signals

_HERE = Path(__file__).parent
_GRACE_S = 3.0
_LOG_LINES = 8


class Processes:
    """Starts hosts' programs and the sample applications, and ends them all, or none."""

    def __init__(self, folder: Path, signals: Signals) -> None:
        self._folder = folder
        self._signals = signals
        self._programs: dict[tuple[str, str], tuple[subprocess.Popen[bytes], Path]] = {}
        self._applications: subprocess.Popen[bytes] | None = None

    def start(self, what: str, node: str, command: Sequence[str], cwd: Path) -> None:
        """Start a program of a node, or of all; what it says goes to a file in its directory."""
        log = cwd / f"{what.lower()}.log"
        tied = [sys.executable, "-I", "-S", str(_HERE / "tied.py"), str(os.getpid())]
        with log.open("wb") as stream, self._signals.held():
            process = subprocess.Popen(
                [*tied, *command],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,  # Ctrl-C is for the demonstration, which then ends them
            )
            self._programs[what, node] = (process, log)

    def has(self, what: str, node: str) -> bool:
        """Whether it was started, and not ended since."""
        return (what, node) in self._programs

    def end(self, what: str, node: str) -> None:
        """End one program, and wait until it has ended."""
        process, _ = self._programs.pop((what, node))
        process.terminate()
        _end(process)

    def start_application(self, order: dict[str, Any]) -> None:
        """Start a sample application; returns once it listens."""
        if self._applications is None:
            with self._signals.held():
                self._applications = subprocess.Popen(
                    [sys.executable, "-I", str(_HERE / "applications.py"), str(self._folder)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
        pipe = self._applications
        assert pipe.stdin is not None  # noqa: S101, asked for above
        assert pipe.stdout is not None  # noqa: S101, asked for above
        try:
            pipe.stdin.write(json.dumps(order).encode() + b"\n")
            pipe.stdin.flush()
            said = json.loads(pipe.stdout.readline())
        except (OSError, ValueError) as error:
            raise DemoError("the sample applications have ended unexpectedly") from error
        if not said["ok"]:
            raise DemoError(f'the application of "{order["name"]}" cannot start: {said["error"]}')

    def check(self) -> None:
        """Raise DemoError where a process has ended that should run."""
        for (what, node), (process, _) in self._programs.items():
            if (code := process.poll()) is not None:
                raise DemoError(
                    f'the {what} of "{node}" has ended with {_exit(code)}; its last words:\n'
                    + self.last_words(what, node)
                )
        if self._applications is not None and self._applications.poll() is not None:
            raise DemoError("the sample applications have ended unexpectedly")

    def last_words(self, what: str, node: str) -> str:
        """End of the log of a node's Envoy or agent, indented."""
        try:
            lines = self._programs[what, node][1].read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return "\n".join(f"    {line}" for line in lines[-_LOG_LINES:]) or "    (none)"

    def stop(self) -> None:
        """End everything, the applications last, and wait until it has ended."""
        for kind in ("agent", "server", "Envoy"):  # an agent would notice that its Envoy ends
            running = [one for (what, _), (one, _) in self._programs.items() if what == kind]
            for process in running:
                process.terminate()
            for process in running:
                _end(process)
        self._programs.clear()
        if self._applications is not None:
            for stream in (self._applications.stdin, self._applications.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            _end(self._applications)
            self._applications = None


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
