"""A worker as its parent sees it: a process that serves, and is started again when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meshc.delivery.xds.process.handover import written
from meshc.delivery.xds.transport.addresses import Address

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.delivery.log import Log
    from meshc.delivery.xds.settings import ServeSettings

_LOOK_S = 1.0
_START_LOOK_S = 0.05
_ASK_S = 4.0
"""For a page; less than whoever asks the parent waits."""
_ALIVE_S = 10.0
"""For the question whether it serves; thousands of clients that come at once take a while."""
_STRIKES = 2
"""Such questions in a row without an answer: it hangs for good.  systemd waits a little longer."""
_WORLD = 3
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_STEADY_S = 60.0
"""Who has lived for so long ended for another reason than before."""
_GRACE_S = 10.0
_NOT_OF_A_WORKER = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd says to the parent alone."""


class Worker:
    """One of several."""

    def __init__(self, number: int, settings: ServeSettings, folder: Path, journal: Log) -> None:
        self.name = str(number)
        self.restarts = 0
        self.state = "starting"
        """``starting``, ``serving``, ``silent`` (it lives and does not answer) or ``ended``."""
        self.said = "is starting"
        """How it is, where it does not serve."""
        control = Address(str(folder / f"{number}.sock"))
        self._settings = written(self.name, replace(settings, control=control, workers=1))
        self._socket = control.host
        self._journal = journal
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process; 0: none runs."""
        if self._process is None or self._process.returncode is not None:
            return 0
        return self._process.pid

    async def start(self) -> int | None:
        """Start the process; return None once it serves, or its exit code where it has ended."""
        self.state, self.said = "starting", "is starting"
        environment = {key: one for key, one in os.environ.items() if key not in _NOT_OF_A_WORKER}
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "meshc.delivery.xds"),
                stdin=asyncio.subprocess.PIPE,
                env=environment,
                process_group=0,  # a terminal tells the parent alone
            )
        except OSError as error:  # no room for another process, for example
            self._journal.warn("no process for a worker", worker=self.name, reason=str(error))
            return _WORLD
        # The pipe stays open: its end tells the worker that the parent is gone.
        assert process.stdin is not None  # noqa: S101, it was asked for
        process.stdin.write(self._settings)
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        while process.returncode is None:
            if await self._answers():
                self.state, self.said = "serving", ""
                return None
            await asyncio.sleep(_START_LOOK_S)
        return await process.wait()

    async def keep(self) -> None:
        """Watch the process for ever, and start another one whenever it has ended."""
        pause = _PAUSE_S
        code: int | None = None
        while True:
            since = time.monotonic()
            if code is None:
                code = await self._watched()
            if time.monotonic() - since > _STEADY_S:
                pause = _PAUSE_S
            self.state, self.said = "ended", f"has ended with {code} and is started again"
            self._journal.warn("worker ended", worker=self.name, code=code, pause=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
            self.restarts += 1
            code = await self.start()
            if code is None:
                self._journal.info("worker serves again", worker=self.name)

    async def _watched(self) -> int:
        """Return the exit code once the process has ended, which is helped on if it hangs."""
        assert self._process is not None  # noqa: S101, it was started
        strikes = 0
        while self._process.returncode is None:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self._process.wait(), _LOOK_S)
            strikes = 0 if await self._answers() else strikes + 1
            self.state = "silent" if strikes else "serving"
            self.said = "does not answer" if strikes else ""
            if strikes >= _STRIKES:
                self._journal.warn("worker hangs and is killed", worker=self.name)
                self._process.kill()
                return await self._process.wait()
        return self._process.returncode

    async def _answers(self) -> bool:
        try:
            return (await self._ask("/healthz", _ALIVE_S)).startswith(b"serving")
        except OSError:  # a time limit is one
            return False

    async def _ask(self, page: str, limit_s: float) -> bytes:
        """Return a page of its control socket; raises OSError, TimeoutError included."""
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_unix_connection(self._socket)
            try:
                writer.write(f"GET {page} HTTP/1.1\r\n\r\n".encode())
                _, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
        return body

    async def ask_json(self, page: str) -> dict[str, Any] | None:
        """Return a page as values, None where none comes."""
        if self.state != "serving":
            return None
        try:
            return dict(json.loads(await self._ask(page, _ASK_S)))
        except (OSError, ValueError):
            return None

    async def stop(self) -> None:
        """End the process: its streams first, and by force where that takes long."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _GRACE_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def hang_up(self) -> None:
        """Let it look at its source at once."""
        if self._process is not None and self.state == "serving":
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)
