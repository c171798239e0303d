"""A host on which meshc is installed as `deploy/systemd/README.md` says, without a systemd."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import meshc
from meshc.delivery.agent.status import read_status
from tests.delivery.live import free_ports, until
from tests.envoy.running import alone_on_this_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(meshc.__file__).parent.parent
UNITS = ROOT / "deploy" / "systemd"
ADDRESS = "127.0.46.1"
_CONFINED = Path(__file__).with_name("confined.py")
_MOUNT = ["unshare", "--mount", "mount", "-t", "overlay", "-o", "lowerdir=/etc:/usr", "o", "/mnt"]
_MESHC = Path(sys.executable).with_name("meshc")


def need(*programs: str) -> None:
    """Skip where a program is missing; in CI that is a failure."""
    for program in programs:
        if shutil.which(program) is None:
            if os.environ.get("CI"):
                pytest.fail(f"no {program}; CI must have it")
            pytest.skip(f"no {program}")


def analyze(folder: Path, *arguments: str) -> str:
    """What systemd says of units in a folder: its exit code and its words."""
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        cwd=folder,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{done.returncode} {done.stdout}{done.stderr}".strip()


def exposure(folder: Path, unit: str) -> float:
    """How much a unit leaves open, as systemd counts it."""
    said = analyze(folder, "security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None, said
    return float(found[1])


class Host:
    """One node, "web1", that calls "app"; both units can be run as they are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.target = root / "var/lib/meshc/envoy"
        self.state = self.target / ".agent"
        self.ingress, self.egress, self.admin = free_ports(ADDRESS, 3)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notes.bind(f"\0meshc-test-{os.getpid()}")
        self._notes.settimeout(0)
        self.said: list[str] = []

    def install(self) -> None:
        """Do the steps of the README that are about files and users."""
        for place in ("etc", "srv/mesh", "specs", "var/lib", "var/log"):
            (self.root / place).mkdir(parents=True)
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (self.root / "etc/group").write_text("root:x:0:\n")
        at_root = f"--root={self.root}"
        subprocess.run(["systemd-sysusers", at_root, UNITS / "sysusers.d/meshc.conf"], check=True)
        subprocess.run(
            ["systemd-tmpfiles", at_root, "--create", UNITS / "tmpfiles.d/meshc.conf"], check=True
        )
        shutil.copy(UNITS / "agent.toml", self.root / "etc/meshc/agent.toml")
        logs = self.root / "var/log/envoy"
        logs.mkdir(mode=0o750)
        os.chown(logs, self.user("envoy"), -1)

    def user(self, name: str) -> int:
        lines = (self.root / "etc/passwd").read_text().splitlines()
        return next(int(line.split(":")[2]) for line in lines if line.startswith(f"{name}:"))

    def publish(self, app: tuple[str, int], timeout: str = "3s") -> None:
        """Build the mesh into the source."""
        specs = self.root / "specs"
        (specs / "mesh.yaml").write_text(
            f"name: deployed\ndrainTime: 1s\nadmin: {{host: {ADDRESS}, port: {self.admin}}}\n"
        )
        (specs / "web.yaml").write_text(
            "protocol: HTTP\nhosts:\n- name: web1\n"
            f"  ingressAddr: {{host: {ADDRESS}, port: {self.ingress}}}\n"
            f"  substanceAddr: {{host: {app[0]}, port: {app[1]}}}\n"
            f"  egressHost: {ADDRESS}\n"
            f"dependentServices:\n- name: app\n  egressPort: {self.egress}\n"
            f"  timeouts: {{request: {timeout}}}\n"
        )
        (specs / "app.yaml").write_text(
            "protocol: HTTP\nhosts:\n- name: app1\n"
            f"  ingressAddr: {{host: {app[0]}, port: {app[1]}}}\n"
            f"  substanceAddr: {{host: 127.0.46.3, port: 80}}\n"
        )
        places: list[str | Path] = [
            "--specs",
            specs,
            "--out",
            self.root / "srv/mesh/out",
            "--cache",
            self.root / "cache",
        ]
        subprocess.run([_MESHC, "build", "--quiet", *places, "--envoy", "none"], check=True)

    def prepare(self, unit: str) -> subprocess.CompletedProcess[str]:
        """Run what a unit runs first."""
        return subprocess.run(
            self._command(unit, "pre"), capture_output=True, text=True, check=False, env=_bare()
        )

    def drain(self, unit: str) -> subprocess.CompletedProcess[str]:
        """Run what a unit runs before it is stopped."""
        return subprocess.run(
            self._command(unit, "stop"), capture_output=True, text=True, check=False, env=_bare()
        )

    def start(self, unit: str) -> None:
        environment = _bare()
        if unit in {"meshc-agent", "meshc-serve"}:
            address = self._notes.getsockname()
            environment |= {"NOTIFY_SOCKET": "@" + address[1:].decode(), "WATCHDOG_USEC": "1000000"}
        with (self.root / f"{unit}.log").open("ab") as log:
            self._processes[unit] = subprocess.Popen(
                self._command(unit, "main"), stdout=log, stderr=log, env=environment
            )

    def stop(self, unit: str) -> int:
        process = self._processes.pop(unit)
        process.terminate()
        return process.wait(30)

    def stop_all(self) -> None:
        for unit in list(self._processes):
            self.stop(unit)
        self._notes.close()

    def pid(self, unit: str) -> int:
        return self._processes[unit].pid

    def log(self, unit: str) -> str:
        return (self.root / f"{unit}.log").read_text()

    def has_said(self, fact: str) -> bool:
        """Whether the agent has told the service manager so."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said += self._notes.recv(4096).decode().splitlines()
        return fact in self.said

    def status(self) -> dict[str, Any]:
        return read_status(self.state) or {}

    def await_state(self, word: str) -> None:
        until(lambda: self.status().get("state") == word, f"state {word}", 30)

    def agent(self, *arguments: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        """Give a command as root."""
        return subprocess.run(
            [_MESHC, "agent", *arguments, "--target", self.target],
            capture_output=True,
            text=True,
            check=False,
            umask=umask,
        )

    def _command(self, unit: str, which: str) -> list[str | Path]:
        return [sys.executable, _CONFINED, UNITS / f"{unit}.service", self.root, which]


@contextlib.contextmanager
def installed() -> Iterator[Host]:
    """A host; needs root, because it runs processes of several users."""
    need("systemd-analyze", "systemd-sysusers", "systemd-tmpfiles", "setpriv", "unshare", "nsenter")
    if os.geteuid():
        pytest.skip("only root can run services of other users")
    if subprocess.run(_MOUNT, capture_output=True, check=False).returncode:
        pytest.skip("root may not mount here, as in many containers")
    with alone_on_this_machine("units"):  # the users of two hosts would be the same ones
        yield from _host()


def _host() -> Iterator[Host]:
    # Not below pytest's own folder, which other users cannot enter.
    root = Path(tempfile.mkdtemp(prefix="meshc-test-", dir="/var/tmp"))
    root.chmod(0o755)
    host = Host(root)
    try:
        host.install()
        yield host
    finally:
        host.stop_all()
        shutil.rmtree(root)


def _bare() -> dict[str, str]:
    """The little that systemd gives."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8"}
