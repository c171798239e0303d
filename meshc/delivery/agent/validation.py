"""Ask a real Envoy on this host what it thinks of a generation, before anything is touched.

A short-lived child does it (`python -m meshc.validate.node`): it needs the compiler's knowledge
of Envoy, which has no place in a process that lives for years.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.durable import make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.artifact.store import NodeBundle

_ACCEPTED, _REFUSED, _NO_ENVOY = 0, 1, 4
_PAUSE_S = 0.005
_GRACE_S = 5.0
_MAX_ANSWER = 1024 * 1024
_ASK_AGAIN_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a local Envoy says; ``is_accepted`` is None where none has judged, and why."""

    is_accepted: bool | None
    reason: str = ""
    resource: str = ""
    path: str = ""


class Validator:
    """Runs the child, and remembers for a while that there is no Envoy to ask."""

    def __init__(self, state: Path, envoy: str, *, limit_s: float) -> None:
        self._folder = state / "validate"
        self._envoy = envoy
        self._limit_s = limit_s
        self._absent_until = 0.0

    def judge(self, bundle: NodeBundle) -> Verdict:
        """Return the verdict on a bundle; never raises."""
        if self._envoy == "none":
            return Verdict(is_accepted=None, reason="local validation is switched off")
        if time.monotonic() < self._absent_until:
            return Verdict(is_accepted=None, reason="there is no Envoy program on this host")
        try:
            self._lay_out(bundle)
            code, answer = self._run()
        except OSError as error:
            reason = f"local validation cannot run: {error.strerror or error}"
            return Verdict(is_accepted=None, reason=reason)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return self._verdict(code, answer)

    def _verdict(self, code: int | None, answer: bytes) -> Verdict:
        try:
            found: Any = json.loads(answer) if answer else {}
            refused = found.get("refused", [])
            first = refused[0] if refused else {}
            reason = str(first.get("reason") or found.get("error") or "")
            resource, path = str(first.get("resource", "")), str(first.get("path", ""))
        except (ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError):
            code, reason, resource, path = -1, "its answer is damaged", "", ""
        if code == _ACCEPTED:
            return Verdict(is_accepted=True)
        if code == _REFUSED and reason:
            return Verdict(is_accepted=False, reason=reason, resource=resource, path=path)
        if code == _NO_ENVOY:
            self._absent_until = time.monotonic() + _ASK_AGAIN_S
            return Verdict(is_accepted=None, reason="there is no Envoy program on this host")
        if code is None:
            reason = f"it took longer than {self._limit_s:g} s"
        return Verdict(
            is_accepted=None,
            reason=f"local validation gave no answer: {reason or f'exit code {code}'}",
        )

    def _lay_out(self, bundle: NodeBundle) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        for path, data in bundle.files.items():
            place = self._folder / path
            make_folder(place.parent, 0o700)
            place.write_bytes(data)

    def _run(self) -> tuple[int | None, bytes]:
        """Run the child; its exit code is None where it had to be killed."""
        answer = self._folder / "answer"
        pid = os.posix_spawn(
            sys.executable,
            [
                *(sys.executable, "-m", "meshc.validate.node", str(self._folder)),
                *("--envoy", self._envoy, "--limit", str(self._limit_s)),
            ],
            {**os.environ, "MALLOC_ARENA_MAX": "1"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(answer), os.O_WRONLY | os.O_CREAT, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setpgroup=0,
            setsigmask=[],
        )
        code = _await_end(pid, self._limit_s)
        if code is not None:
            with answer.open("rb") as stream:
                return code, stream.read(_MAX_ANSWER)
        # Its Envoy has a session of its own, so only the child itself can end that one.
        os.kill(pid, signal.SIGTERM)
        if _await_end(pid, _GRACE_S) is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return None, b""


def _await_end(pid: int, limit_s: float) -> int | None:
    """Return the exit code of a child; None where it still runs."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_PAUSE_S)
    return None
