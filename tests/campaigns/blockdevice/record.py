"""Deliveries, and the log of what they did to the disk and took for durable."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.blockdevice.disk import logged_disk, memory
from tests.campaigns.blockdevice.play import MOST_BYTES, Order, order_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.campaigns.blockdevice.content import Content
    from tests.campaigns.blockdevice.disk import FileSystem, LoggedDisk
    from tests.campaigns.blockdevice.images import Expected, Image
    from tests.campaigns.blockdevice.nbd import Record

_ROOT = Path(__file__).resolve().parents[3]
_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What was on the disk at first, and everything that then happened to it.

    ``begun`` is what the agent had said before, where the disk has been through a power cut.
    """

    system: FileSystem
    initial: Content
    log: Sequence[Record]
    name: str
    begun: Expected | None = None


def record(
    *, seed: int, system: FileSystem, deliveries: int, mutant: str = "", commits: float = 0.0
) -> Recording:
    """Deliver on a new disk that logs."""
    with tempfile.TemporaryDirectory(prefix="meshc-power-", dir=memory()) as folder:
        with logged_disk(Path(folder), system) as disk:
            order = Order(
                root=str(disk.root),
                work=folder,
                seed=seed,
                deliveries=deliveries,
                mutant=mutant,
                commits=commits,
            )
            _play(order, disk)
        return Recording(
            system=system,
            initial=disk.initial,
            log=tuple(disk.server.log),
            name=f"recording {seed} ({system.name}, commits {commits})",
        )


def record_start(image: Image, start: str, *, mutant: str = "") -> Recording:
    """Start a host after a power cut, on a disk that logs."""
    with tempfile.TemporaryDirectory(prefix="meshc-power-", dir=memory()) as folder:
        with logged_disk(Path(folder), image.system, image.content) as disk:
            order = Order(
                root=str(disk.root),
                work=folder,
                seed=0,
                deliveries=0,
                mutant=mutant,
                start=start,
                before=image.expected.before,
                goal=image.expected.goal,
            )
            _play(order, disk)
        return Recording(
            system=image.system,
            initial=disk.initial,
            log=tuple(disk.server.log),
            name=f"{image.name}; then started {start}",
            begun=image.expected,
        )


def _play(order: Order, disk: LoggedDisk) -> None:
    """Let the process play; what it says becomes a mark in the log before it goes on."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(_LIMIT_S)
    with ours:
        with theirs:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.campaigns.blockdevice.play"),
                    *(str(theirs.fileno()), order_text(order)),
                ],
                cwd=_ROOT,
                pass_fds=[theirs.fileno()],
            )
        try:
            while said := ours.recv(MOST_BYTES):
                disk.server.mark(json.loads(said))
                ours.send(b".")
            process.wait(_LIMIT_S)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise RuntimeError(f"the deliveries ended with {process.returncode}: {order}")
