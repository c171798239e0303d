"""`meshc serve` as a process of its own, and what it tells the service manager."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshc.delivery.errors import DeliveryError
from meshc.delivery.xds.process.asking import ask_status
from meshc.delivery.xds.transport.addresses import address
from tests.delivery.live import until
from tests.delivery.xds.served import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from meshc.delivery.xds.transport.tls import TlsFiles

PATIENCE_S = 30


@dataclass
class ServeProcess:
    """A running server; ``folder`` holds its control socket ``c`` and its ``log``."""

    folder: Path
    port: int
    process: subprocess.Popen[str]
    notes: socket.socket
    said: list[str] = field(default_factory=list)

    def status(self) -> dict[str, Any]:
        """What it says of itself, nothing where it does not answer."""
        try:
            return ask_status(address(f"unix:{self.folder}/c"))
        except DeliveryError:
            return {}

    def heard(self) -> list[str]:
        """What the service manager has heard since this was asked last."""
        found: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found += self.notes.recv(4096).decode().splitlines()
        self.said += found
        return found

    def is_well(self) -> bool:
        """Whether all workers serve."""
        found = self.status()
        return bool(found) and not found["worker_problem"]

    def pids(self) -> dict[str, int]:
        """Workers and their processes."""
        return {one["worker"]: one["pid"] for one in self.status()["workers"]}

    def resident_mib(self) -> float:
        """Memory that it takes now."""
        said = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", said)
        assert found is not None
        return int(found[1]) / 1024

    def page(self, name: str) -> str:
        """Return the body of a page."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(10)
            asked.connect(f"{self.folder}/c")
            asked.sendall(f"GET {name} HTTP/1.1\r\n\r\n".encode())
            answer = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        return answer.partition("\r\n\r\n")[2]


def serve_command(
    folder: Path, port: int, *more: str, host: str = "127.0.0.1", tls: TlsFiles | None = None
) -> list[str]:
    """Serve ``folder/out``, in plain text without certificates; looks at it when it is told to."""
    how = ["--plaintext"]
    if tls is not None:
        how = ["--cert", str(tls.certificate), "--key", str(tls.key)]
        how += ["--client-ca", str(tls.client_ca)]
    return [
        *(sys.executable, "-m", "meshc", "serve", *how, "--source", f"{folder}/out"),
        *("--listen", f"{host}:{port}", "--control", f"unix:{folder}/c", "--poll", "3600"),
        *more,
    ]


@contextlib.contextmanager
def serving(
    folder: Path,
    *more: str,
    port: int = 0,
    host: str = "127.0.0.1",
    within: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    tls: TlsFiles | None = None,
) -> Iterator[ServeProcess]:
    """Serve ``folder/out`` until the block ends; without a port, on a free one.

    ``within`` is what the command is given to, as one that runs it in another namespace.
    """
    port = port or free_port()
    (folder / "notify").unlink(missing_ok=True)  # of one that was killed
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notes:
        notes.bind(f"{folder}/notify")
        notes.settimeout(0)
        variables = {**os.environ, "NOTIFY_SOCKET": f"{folder}/notify", **(environment or {})}
        with (folder / "log").open("w") as log:
            command = [*within, *serve_command(folder, port, *more, host=host, tls=tls)]
            process = subprocess.Popen(command, stderr=log, text=True, env=variables)
        found = ServeProcess(folder, port, process, notes)

        def is_ready() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            found.heard()
            return "READY=1" in found.said

        try:
            until(is_ready, "READY=1", PATIENCE_S)
            yield found
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
