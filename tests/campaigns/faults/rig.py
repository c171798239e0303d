"""One place with an agent, an Envoy and a source: prepare it, run, kill, look."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.campaigns.faults import tracing
from tests.campaigns.faults.played import PlayedEnvoy
from tests.campaigns.faults.sets import NODE
from tests.campaigns.faults.zygote import GO, MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.campaigns.faults.tracing import Calls, Point

_ROOT = Path(__file__).resolve().parents[3]
_LIMIT_S = 60.0
_NOTICE_S = 0.05  # a played Envoy has noticed a rename by its first answer, or never will
_MEMORY = Path("/dev/shm")


@dataclass(slots=True, kw_only=True)
class Ran:
    """What a run has come to; without a result it was killed."""

    result: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0
    seconds: float = 0.0
    calls: dict[str, Calls] = field(default_factory=dict)

    @property
    def is_killed(self) -> bool:
        return self.exit_code == -signal.SIGKILL

    @property
    def verdict(self) -> str:
        return str(self.result.get("verdict", "none"))


class Rig:
    """A folder of its own, a zygote and a played Envoy; use it as a context manager.

    It lies in memory where that is to be had: a kill is no power cut, so nothing that a disk could
    lose matters, and its syncs cost more than everything else.
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        temporary = tempfile.TemporaryDirectory(prefix="meshc-rig-", dir=memory)
        self.root = Path(self._stack.enter_context(temporary))
        self.target, self.state = self.root / "target", self.root / "state"
        self.envoy = self._stack.enter_context(PlayedEnvoy(self.target, self.root / "admin.sock"))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_LIMIT_S)
        self._channel = self._stack.enter_context(ours)
        with theirs:
            self._zygote = subprocess.Popen(
                [sys.executable, "-m", "tests.campaigns.faults.zygote", str(theirs.fileno())],
                cwd=_ROOT,
                pass_fds=[theirs.fileno()],
            )
        self._stack.callback(self._end)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        self._channel.close()  # the zygote ends with it
        try:
            self._zygote.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._zygote.kill()
            self._zygote.wait()

    def save(self, name: str) -> None:
        """Keep target and state as they are, to come back to."""
        for folder in (self.target, self.state):
            if folder.exists():
                shutil.copytree(folder, self.root / "saved" / name / folder.name)

    def restore(self, name: str) -> None:
        """Bring back what was kept; Envoy must be stopped, and starts on it."""
        for folder in (self.target, self.state):
            shutil.rmtree(folder, ignore_errors=True)
            kept = self.root / "saved" / name / folder.name
            if kept.exists():
                shutil.copytree(kept, folder)

    def run(
        self,
        source: Path,
        *,
        action: str = "once",
        point: Point | None = None,
        effect: str = "",
        kill_after: float | None = None,
        is_counted: bool = False,
        mutant: str = "",
        notice: float = _NOTICE_S,
        **settings: Any,
    ) -> Ran:
        """Run the agent once, with something happening to it."""
        given = {
            "node": NODE,
            "source": str(source),
            "target": str(self.target),
            "state": str(self.state),
            "admin": f"unix:{self.envoy.address}",
            "envoy": "none",
            "unconfirmed_wait": 0.0,
        } | settings
        stop_at = point.thread if point else "main"
        order = {
            "settings": given,
            "action": action,
            "stop_at": stop_at,
            "mutant": mutant,
            "notice": notice,
        }
        self._channel.send(json.dumps(order).encode())
        ran = Ran()
        said = self._hear()
        if "at" not in said:  # it ended before the thread that was asked for began
            return self._finish(ran, said)
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            if point is not None:
                stack.enter_context(tracing.attached(said["tid"], point, effect))
            counts = stack.enter_context(tracing.counting(said["pid"])) if is_counted else {}
            if kill_after is not None:
                handle = os.pidfd_open(said["pid"])
                stack.callback(os.close, handle)
            self._channel.send(GO)
            if kill_after is not None:
                time.sleep(kill_after)
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            self._finish(ran, self._hear())
        ran.seconds = time.monotonic() - started
        ran.calls = {
            "main" if tid == said["pid"] else "worker": found for tid, found in counts.items()
        }
        return ran

    def _finish(self, ran: Ran, said: dict[str, Any]) -> Ran:
        if "result" in said:
            ran.result = said["result"]
            said = self._hear()
        ran.exit_code = int(said["exit"])
        return ran

    def _hear(self) -> dict[str, Any]:
        data = self._channel.recv(MOST_BYTES)
        if not data:
            raise RuntimeError("the zygote has ended")
        found: dict[str, Any] = json.loads(data)
        return found


@contextlib.contextmanager
def rigs(count: int) -> Iterator[list[Rig]]:
    """Several rigs at once."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Rig()) for _ in range(count)]
