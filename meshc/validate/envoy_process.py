"""Start one Envoy in validate mode, wait for it under a deadline, and keep what it said."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from meshc.diagnostics.errors import EnvoyError

# Every log record starts with this, so that messages of several lines can be told apart.
RECORD_START = "\x1e"
_LOG_FORMAT = RECORD_START + "%n|%l|%v"
_CONFIG_FILE = "bootstrap.json"
_OK = f"configuration '{_CONFIG_FILE}' OK"
_REFUSED = f"main|critical|error initializing configuration '{_CONFIG_FILE}': "
_REFUSED_EXIT = 1
_BUG = f"{RECORD_START}envoy_bug|error|"
# A refusal can quote the whole bootstrap; more than this is no answer but a flood.
_OUTPUT_LIMIT = 512 << 20
# How often a running Envoy is checked for such a flood; its end is noticed at once.
_LOOK_EVERY_S = 1.0
_VERSION_TIMEOUT_S = 20.0
_VERSION_LIMIT = 4096
_VERSION = re.compile(r"version: [0-9a-f]+/(\d+\.\d+\.\d+[^/\s]*)/")
_EXCERPT = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What Envoy said about one bootstrap.

    ``refusal`` is the text after "error initializing configuration", None when accepted.
    ``records`` is its log, only filled when the run was traced.
    """

    refusal: str | None
    records: tuple[str, ...] = ()


class EnvoyRun:
    """One running Envoy; made by :func:`start_envoy`, ended by ``wait`` or ``kill``."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        folder: tempfile.TemporaryDirectory[str],
        *,
        timeout_s: float,
        is_traced: bool,
    ) -> None:
        self._process = process
        self._folder = folder
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._is_traced = is_traced

    def is_over(self) -> bool:
        """Tell whether the process has ended, without waiting."""
        return self._process.poll() is not None

    def wait(self) -> Answer:
        """Wait for the end and return the answer.

        Raises:
            EnvoyError: it hung, crashed, or said anything but a clear yes or no.  A doubtful
                answer is never taken for an acceptance.
        """
        try:
            self._wait_for_end()
            return self._answer()
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process if it still runs, and remove its files; may be repeated."""
        _kill(self._process)
        self._folder.cleanup()

    def _wait_for_end(self) -> None:
        while self._process.poll() is None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise EnvoyError(
                    f"Envoy did not answer within {self._timeout_s:g} s and was killed",
                    hint="see whether the machine is overloaded, or whether --envoy names a "
                    "program that is not Envoy",
                )
            _sleep_until_end(self._process, min(left, _LOOK_EVERY_S))
            if self._file("stderr").stat().st_size > _OUTPUT_LIMIT:
                raise EnvoyError("Envoy wrote more than 512 MiB of messages and was killed")

    def _answer(self) -> Answer:
        code = self._process.returncode
        out = self._file("stdout").read_text("utf-8", "replace")
        log = self._file("stderr").read_text("utf-8", "replace")
        records = tuple(log.split(RECORD_START))
        if _BUG in log:
            # Seen when descriptors run out: it skips what it cannot do, and says OK.
            raise EnvoyError(
                f"Envoy ran into trouble of its own{_excerpt(log)}",
                hint="see whether the limit of open files is too low (ulimit -n)",
            )
        if code == 0 and out.strip() == _OK:
            return Answer(None, records if self._is_traced else ())
        if code == _REFUSED_EXIT:
            for record in records:
                if record.startswith(_REFUSED):
                    return Answer(record.removeprefix(_REFUSED), records if self._is_traced else ())
        last = _excerpt(log or out)
        if code < 0:
            raise EnvoyError(
                f"Envoy crashed with {_signal_name(-code)} while it checked the build{last}",
                hint="a crash is neither yes nor no; try another Envoy version, or --envoy none "
                "to build without this check",
            )
        raise EnvoyError(
            f"Envoy ended with exit code {code} and without a clear answer{last}",
            hint="see whether --envoy names an Envoy program of a supported version",
        )

    def _file(self, name: str) -> Path:
        return Path(self._folder.name, name)


def start_envoy(
    binary: Path, bootstrap: bytes, *, timeout_s: float, is_traced: bool = False
) -> EnvoyRun:
    """Start ``envoy --mode validate`` on a bootstrap and return while it works.

    Its output goes to files: with pipes an Envoy that says much would stand still until
    somebody reads, and the caller is busy compiling.  The folder is private, is Envoy's working
    directory, and vanishes with the run.

    Args:
        binary: the program.
        bootstrap: JSON.
        timeout_s: how long the run may take.
        is_traced: log everything, which tells how far Envoy came, at 1.6 times the time.
            ``--component-log-level`` would be cheaper, but validate mode ignores it.
    """
    folder = tempfile.TemporaryDirectory(prefix="meshc-envoy-")
    try:
        root = Path(folder.name)
        (root / _CONFIG_FILE).write_bytes(bootstrap)
        with (root / "stdout").open("wb") as out, (root / "stderr").open("wb") as err:
            process = _spawn(
                [
                    *(str(binary), "--mode", "validate", "-c", _CONFIG_FILE),
                    *("--concurrency", "1", "--disable-hot-restart"),
                    *("-l", "debug" if is_traced else "error", "--log-format", _LOG_FORMAT),
                ],
                root,
                out,
                err,
            )
    except BaseException:
        folder.cleanup()
        raise
    return EnvoyRun(process, folder, timeout_s=timeout_s, is_traced=is_traced)


def envoy_version(binary: Path) -> str:
    """Return the version, such as ``1.40.0``, as the program itself states it.

    Raises:
        EnvoyError: it cannot be started, hangs, or does not talk like Envoy.
    """
    with tempfile.TemporaryDirectory(prefix="meshc-envoy-") as name:
        root = Path(name)
        with (root / "out").open("wb") as out:
            process = _spawn([str(binary), "--version"], root, out, out)
        try:
            _sleep_until_end(process, _VERSION_TIMEOUT_S)
        finally:
            hung = _kill(process)
        with (root / "out").open("rb") as said:
            text = said.read(_VERSION_LIMIT).decode("utf-8", "replace")
    found = _VERSION.search(text)
    if hung or process.returncode != 0 or found is None:
        what = "did not answer" if hung else "does not state a version as Envoy does"
        raise EnvoyError(
            f'"{binary}" {what} when asked for its version{"" if hung else _excerpt(text)}',
            hint="see whether --envoy names an Envoy program",
        )
    return found.group(1)


def _spawn(
    command: list[str], folder: Path, out: IO[bytes], err: IO[bytes]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            # Nothing of the caller's surroundings: an answer must not depend on proxies or
            # locale, and credentials have no business there.
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)},
            start_new_session=True,
        )
    except OSError as error:
        raise EnvoyError(
            f'Envoy cannot be started from "{command[0]}": {error.strerror or error}',
            hint="see whether the file is an executable for this machine",
        ) from error


def _kill(process: subprocess.Popen[bytes]) -> bool:
    """End the process; tell whether it was still running."""
    if process.poll() is not None:
        return False
    # A session of its own was made for it, so this reaches what it may have started, and
    # nothing else.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def _sleep_until_end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Sleep until the process ends, at most so long.

    ``Popen.wait`` with a timeout polls with pauses of up to 50 ms, which is as long as a whole
    run on a single resource.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # Not Linux, an old kernel, or a sandbox without it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)
    finally:
        os.close(descriptor)
    process.poll()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _excerpt(text: str) -> str:
    """Return the end of an unexpected output as a printable addition to a message."""
    tail = "".join(char if char.isprintable() else " " for char in text[-_EXCERPT:])
    return f'; its last words: "{" ".join(tail.split())}"' if tail.strip() else ""
