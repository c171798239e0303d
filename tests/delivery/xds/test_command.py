"""`meshc serve` as a process: what the service manager hears, and what `status` answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.delivery.live import until
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.process import PATIENCE_S, ServeProcess, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServeProcess]:
    make_bundle(tmp_path)
    with serving(tmp_path, environment={"WATCHDOG_USEC": "400000"}) as found:
        yield found


def _asked(server: ServeProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "meshc", "serve", "status", *arguments]
    return subprocess.run(
        [*command, "--control", f"unix:{server.folder}/c"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _states(server: ServeProcess) -> list[str]:
    server.heard()
    return [one for one in server.said if one.startswith("STATUS=")]


def test_a_server_that_stands_still_is_not_said_to_be_alive(server: ServeProcess) -> None:
    until(lambda: "WATCHDOG=1" in server.heard(), "WATCHDOG=1")

    server.process.send_signal(signal.SIGSTOP)
    server.heard()
    time.sleep(1.5)
    assert server.heard() == []

    server.process.send_signal(signal.SIGCONT)
    until(lambda: "WATCHDOG=1" in server.heard(), "WATCHDOG=1 again")
    until(lambda: "event=stalled" in (server.folder / "log").read_text(), "a line about it")
    server.process.terminate()
    assert server.process.wait(PATIENCE_S) == 0
    assert "STOPPING=1" in server.heard()


def test_status_ends_with_0_where_all_is_well_and_with_1_where_it_is_not(
    server: ServeProcess,
) -> None:
    well = _asked(server)
    nobody = _asked(server, "--node", "front1")
    (server.folder / "out/manifest.json").rename(server.folder / "moved.json")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: bool(server.status()["problem"]), "a look at the source")
    log = server.folder / "log"
    until(lambda: "event=source " in log.read_text(), "a line about the problem")
    bad = _asked(server, "--json")
    (server.folder / "moved.json").rename(server.folder / "out/manifest.json")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: 'event="source well again"' in log.read_text(), "a line about it")

    assert (well.returncode, well.stdout.splitlines()[0][:15]) == (0, "OK: generation ")
    assert nobody.returncode == 1
    assert nobody.stdout.startswith("NOT CONNECTED: front1\n")
    assert bad.returncode == 1
    until(lambda: len(_states(server)) == 3, "what systemd is told")
    first, then, last = _states(server)
    assert first == last == f"STATUS=serving on 127.0.0.1:{server.port}"
    assert 'manifest.json" is missing' in then
    said = json.loads(bad.stdout)
    assert said["ok"] is False
    assert said["problem"].endswith('manifest.json" is missing; build first: meshc build')


def test_status_ends_with_3_where_no_server_answers(server: ServeProcess) -> None:
    server.process.terminate()
    server.process.wait(PATIENCE_S)

    done = _asked(server)

    assert done.returncode == 3
    assert "no server answers" in done.stderr
