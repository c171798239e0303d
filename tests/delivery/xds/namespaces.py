"""Two hosts in network namespaces of their own, with a wire between them that packets vanish on."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEAR, _FAR = ("10.213.46.2",), ("10.213.46.1", "10.213.46.3")


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace, held by a process that does nothing, and its addresses."""

    holder: int
    addresses: tuple[str, ...]

    @property
    def within(self) -> tuple[str, ...]:
        """What a command begins with that runs there."""
        return ("nsenter", f"--net=/proc/{self.holder}/ns/net", "--")

    def ip(self, *arguments: str) -> None:
        """Change its network."""
        subprocess.run([*self.within, "ip", *arguments], check=True, timeout=30)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Hosts with one address and with two; skips where nobody may make namespaces."""
    for program in ("ip", "unshare", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program}, for network namespaces; install iproute2 and util-linux")
    with _host(*_NEAR) as near, _host(*_FAR) as far:
        near.ip(
            "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", str(far.holder)
        )
        for host in (near, far):
            host.ip("link", "set", "lo", "up")
            for address in host.addresses:
                host.ip("address", "add", f"{address}/24", "dev", "wire")
            host.ip("link", "set", "wire", "up")
        yield near, far


@contextlib.contextmanager
def _host(*addresses: str) -> Iterator[Host]:
    command = ["unshare", "--net", "sh", "-c", "echo there && exec sleep 600"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "there\n":
            pytest.skip(f"no network namespaces here: {holder.stderr.read().strip()}")
        yield Host(holder.pid, addresses)
    finally:
        holder.kill()
        holder.communicate()


def lose_packets(near: Host, far: Host, address: str) -> None:
    """From now on nothing arrives that one of them sends over this address; nobody is told."""
    near.ip("route", "add", "blackhole", f"{address}/32")
    far.ip("rule", "add", "from", address, "blackhole")
