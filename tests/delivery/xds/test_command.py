"""`meshc serve` as a process: what the service manager hears, and what `status` answers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.errors import DeliveryError
from meshc.delivery.xds.asking import ask_status
from meshc.delivery.xds.settings import address
from tests.delivery.live import until
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECONDS = 20


@dataclass
class _Server:
    folder: Path
    process: subprocess.Popen[str]
    notes: socket.socket
    said: list[str] = field(default_factory=list)

    def heard(self) -> list[str]:
        """What the service manager has heard since it was asked last."""
        found: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found += self.notes.recv(4096).decode().splitlines()
        self.said += found
        return found

    def status(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "meshc", "serve", "status", *arguments]
        return subprocess.run(
            [*command, "--control", f"unix:{self.folder}/c"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def is_problem(self) -> bool:
        with contextlib.suppress(DeliveryError):
            return bool(ask_status(address(f"unix:{self.folder}/c"))["problem"])
        return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    make_bundle(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notes:
        notes.bind(f"{tmp_path}/notify")
        notes.settimeout(0)
        environment = {**os.environ, "NOTIFY_SOCKET": f"{tmp_path}/notify"}
        environment["WATCHDOG_USEC"] = "400000"
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "meshc", "serve", "--plaintext", "--poll", "3600"),
                    *("--source", f"{tmp_path}/out", "--listen", f"127.0.0.1:{free_port()}"),
                    *("--control", f"unix:{tmp_path}/c"),
                ],
                stderr=log,
                text=True,
                env=environment,
            )
        found = _Server(tmp_path, process, notes)
        try:
            until(lambda: bool(found.heard()) and "READY=1" in found.said, "READY=1")
            yield found
        finally:
            process.terminate()
            process.wait(_SECONDS)


def test_a_server_that_stands_still_is_not_said_to_be_alive(server: _Server) -> None:
    until(lambda: "WATCHDOG=1" in server.heard(), "WATCHDOG=1")

    server.process.send_signal(signal.SIGSTOP)
    server.heard()
    time.sleep(1.5)
    assert server.heard() == []

    server.process.send_signal(signal.SIGCONT)
    until(lambda: "WATCHDOG=1" in server.heard(), "WATCHDOG=1 again")
    until(lambda: "event=stalled" in (server.folder / "log").read_text(), "a line about it")
    server.process.terminate()
    assert server.process.wait(_SECONDS) == 0
    assert "STOPPING=1" in server.heard()


def test_status_ends_with_0_where_all_is_well_and_with_1_where_it_is_not(server: _Server) -> None:
    well = server.status()
    nobody = server.status("--node", "front1")
    (server.folder / "out/manifest.json").write_text("{")
    server.process.send_signal(signal.SIGHUP)
    until(server.is_problem, "a look at the source")
    bad = server.status("--json")

    assert (well.returncode, well.stdout.splitlines()[0][:15]) == (0, "OK: generation ")
    assert nobody.returncode == 1
    assert nobody.stdout.startswith("NOT CONNECTED: front1\n")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["ok"] is False


def test_status_ends_with_3_where_no_server_answers(server: _Server) -> None:
    server.process.terminate()
    server.process.wait(_SECONDS)

    done = server.status()

    assert done.returncode == 3
    assert "no server answers" in done.stderr
