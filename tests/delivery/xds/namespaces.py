"""Two hosts in network namespaces of their own, with a wire between them that packets vanish on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEAR, _FAR = "10.213.46.2", ("10.213.46.1", "10.213.46.3")


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace and its addresses."""

    name: str
    addresses: tuple[str, ...]

    @property
    def within(self) -> tuple[str, ...]:
        """What a command begins with that runs there."""
        return ("ip", "netns", "exec", self.name)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Hosts with one address and with two; skips where nobody may make namespaces."""
    if shutil.which("ip") is None:
        pytest.skip("no ip, which makes network namespaces; install iproute2")
    near = Host(f"meshc-near-{os.getpid()}", (_NEAR,))
    far = Host(f"meshc-far-{os.getpid()}", _FAR)
    with contextlib.ExitStack() as stack:
        for host in (near, far):
            made = subprocess.run(
                ["ip", "netns", "add", host.name], check=False, capture_output=True, text=True
            )
            if made.returncode:
                pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
            stack.callback(_ip, "netns", "delete", host.name)
        wire = ("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", far.name)
        _ip("-n", near.name, *wire)
        for host in (near, far):
            _ip("-n", host.name, "link", "set", "lo", "up")
            for address in host.addresses:
                _ip("-n", host.name, "address", "add", f"{address}/24", "dev", "wire")
            _ip("-n", host.name, "link", "set", "wire", "up")
        yield near, far


def lose_packets(near: Host, far: Host, address: str) -> None:
    """From now on nothing arrives that one of them sends over this address; nobody is told."""
    _ip("-n", near.name, "route", "add", "blackhole", f"{address}/32")
    _ip("-n", far.name, "rule", "add", "from", address, "blackhole")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)
