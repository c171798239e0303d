"""Real disks that refuse under a resident agent: full, out of inodes, read-only; then they heal.

The disk is a small tmpfs in a mount namespace of the agent's own; its files are reached from
outside through ``/proc/PID/root``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.faults import judge
from tests.campaigns.faults.played import PlayedEnvoy
from tests.campaigns.faults.rig import Rig
from tests.campaigns.faults.scenarios import Stage
from tests.campaigns.faults.sets import NEW, NODE, OLD, generation_name, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.campaigns.report import Report

_LIMIT_S = 30.0
_FAULTS = ("full", "out of inodes", "read-only")
_OPTIONS = "size=512k,nr_inodes=256"
_WORDS = {
    "full": "No space left on device",
    "out of inodes": "No space left on device",
    "read-only": "Read-only file system",
}


def why_not_possible() -> str:
    """Why no disk of its own can be had here; empty: it can."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "no unshare or nsenter on the PATH"
    done = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    return "mounting is not permitted" if done.returncode else ""


def fill_real_disks(report: Report) -> None:
    """Let each fault come and go once under a resident agent."""
    if reason := why_not_possible():
        report.notes.append(f"no real disk was filled: {reason}")
        return
    for fault in _FAULTS:
        with Rig() as rig:
            Stage(rig)
            with _resident(rig) as host:
                for problem in _come_and_go(host, fault):
                    report.violated(f"{fault}: {problem}")
        report.count("real disks that refused under a resident agent, and healed")


@dataclass(slots=True, kw_only=True)
class _Host:
    """A resident agent on a disk of its own; ``disk`` is where that is seen from outside."""

    process: subprocess.Popen[bytes]
    mounted: Path
    disk: Path
    envoy: PlayedEnvoy
    source: Path
    log: Path

    def enter(self, *command: str) -> None:
        """Run something in the agent's mount namespace."""
        subprocess.run(["nsenter", "-t", str(self.process.pid), "-m", *command], check=True)

    def status(self) -> dict[str, object]:
        """What the agent says about itself."""
        try:
            found: dict[str, object] = json.loads((self.disk / "state/status.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def files(self) -> dict[str, bytes]:
        return judge.files_in(self.disk / "target")


@contextlib.contextmanager
def _resident(rig: Rig) -> Iterator[_Host]:
    mounted, source, log = rig.root / "disk", rig.root / "source", rig.root / "agent.log"
    mounted.mkdir()
    publish(OLD, source)
    settings = {
        "node": NODE,
        "source": str(source),
        "target": f"{mounted}/target",
        "state": f"{mounted}/state",
        "admin": f"unix:{rig.root}/resident.sock",
        "envoy": "none",
        "metrics": "none",
        "poll": 0.5,
        "probe": 0.5,
    }
    script = (
        f"mount -t tmpfs -o {_OPTIONS} none {mounted} && cp -a {rig.root}/saved/old/. {mounted} "
        f'&& rm -f {mounted}/state/status.json && exec "$0" -m meshc.delivery.agent "$1"'
    )
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script, sys.executable, json.dumps(settings)],
            cwd=Path(__file__).resolve().parents[3],
            stderr=stream,
        )
    disk = Path(f"/proc/{process.pid}/root{mounted}")
    envoy = PlayedEnvoy(disk / "target", rig.root / "resident.sock")
    try:
        if not _until(lambda: judge.read_ledger(disk / "state") is not None):
            raise RuntimeError(f"there is no disk: {log.read_text()}")
        with envoy:
            envoy.start()
            yield _Host(
                process=process, mounted=mounted, disk=disk, envoy=envoy, source=source, log=log
            )
    finally:
        process.terminate()
        process.wait(_LIMIT_S)


def _come_and_go(host: _Host, fault: str) -> Iterator[str]:
    """Break the disk, publish something new, look, mend the disk, look."""
    if not _until(lambda: host.status().get("state") == "ok"):
        yield f"it was never well: {host.status().get('summary')}"
        return
    heal = _break(host, fault)
    publish(NEW, host.source)
    if not _until(lambda: _WORDS[fault] in _said(host, fault)):
        yield f"it does not say what is wrong: {host.status().get('summary')}"
    if host.process.poll() is not None:
        yield f"it has ended: {host.log.read_text()}"
        return
    yield from _still_old(host)
    heal()
    if not _until(lambda: host.files() == NEW and host.status().get("state") == "ok"):
        yield f"it does not heal: {host.status().get('summary')}"
        return
    ledger = judge.read_ledger(host.disk / "state") or {}
    if ledger.get("good") != generation_name(NEW) or ledger.get("intent") is not None:
        yield f"its memory is not that of the new set: {ledger}"
    yield from judge.broken_memory(host.disk / "state")
    yield from judge.leftovers(host.disk / "target", host.disk / "state")
    yield from host.envoy.served_wrongly
    if "Traceback" in host.log.read_text() or "internal error" in host.log.read_text():
        yield f"it has failed on the way: {host.log.read_text()}"


def _said(host: _Host, fault: str) -> str:
    """Where the agent can say it: a read-only disk takes no status, so the log has to do."""
    return host.log.read_text() if fault == "read-only" else str(host.status().get("summary"))


def _still_old(host: _Host) -> Iterator[str]:
    if torn := judge.torn(host.files(), OLD, NEW):
        yield f"torn: {torn}"
    yield from judge.lacks(host.files(), OLD)
    yield from judge.dangling(host.files())
    if host.envoy.versions()["listener_manager.lds."] != "lds-old":
        yield "Envoy does not run the old listeners any more"


def _break(host: _Host, fault: str) -> Callable[[], None]:
    """Let the disk refuse from now on; returns how to end that."""
    if fault == "read-only":
        disk = str(host.mounted)
        host.enter("mount", "--bind", disk, disk)
        host.enter("mount", "-o", "remount,bind,ro", disk)
        return lambda: host.enter("umount", disk)
    ballast = host.disk / "ballast"
    ballast.mkdir()
    try:
        for number in range(10_000):
            data = b"x" * 4096 if fault == "full" else b""
            (ballast / str(number)).write_bytes(data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    return lambda: shutil.rmtree(ballast)


def _until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
