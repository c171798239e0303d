"""Tell systemd how the service is, where it was started by it; otherwise nothing happens."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(**facts: str) -> None:
    """Send facts such as ``READY="1"`` or ``STATUS="…"``; never fails."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    place = "\0" + address[1:] if address[0] == "@" else address
    text = "\n".join(f"{name}={' '.join(value.split())}" for name, value in facts.items())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.settimeout(0)
        out.sendto(text.encode(errors="replace"), place)


def watchdog_interval_s() -> float | None:
    """Return how often systemd wants to hear of this process: half of its limit."""
    try:
        limit = int(os.environ["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None
    pid = os.environ.get("WATCHDOG_PID")
    if limit <= 0 or (pid is not None and pid != str(os.getpid())):
        return None
    return limit / 2
