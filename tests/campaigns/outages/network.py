"""Hosts in network namespaces of their own, on one switch that a host can be unplugged from."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NETWORK = "10.214.46"
_CLONE_NEWNET = 0x40000000
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace, held by a process that does nothing."""

    holder: int

    @property
    def within(self) -> tuple[str, ...]:
        """What a command begins with that runs there."""
        return ("nsenter", f"--net=/proc/{self.holder}/ns/net", "--")

    def ip(self, *arguments: str) -> None:
        """Change its network."""
        subprocess.run([*self.within, "ip", *arguments], check=True, timeout=30)

    def call(self, function: Callable[[], _Found]) -> _Found:
        """Call a function there, in a thread of its own: a thread cannot come back."""
        found: list[_Found] = []
        failed: list[BaseException] = []

        def run() -> None:
            descriptor = os.open(f"/proc/{self.holder}/ns/net", os.O_RDONLY)
            try:
                assert not ctypes.CDLL(None).setns(descriptor, _CLONE_NEWNET), "cannot go there"
                found.append(function())
            except BaseException as error:  # noqa: BLE001, raised again where it was called
                failed.append(error)
            finally:
                os.close(descriptor)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return found[0]


@dataclass(frozen=True, slots=True)
class Host:
    """A host on the network, with an address and a name."""

    name: str
    address: str
    namespace: Namespace


class Network:
    """A switch and hosts on it, the first of which calls the others."""

    def __init__(self, switch: Namespace, hosts: tuple[Host, ...]) -> None:
        self._switch = switch
        self.hosts = hosts

    def unplug(self, host: Host) -> None:
        """From now on no packet comes or goes, and nobody is told."""
        self._switch.ip("link", "set", host.name, "nomaster")

    def plug_in(self, host: Host) -> None:
        self._switch.ip("link", "set", host.name, "master", "switch")


def missing_for_network() -> str:
    """Return why there can be no namespaces here, or nothing."""
    for program in ("ip", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"no {program}, for network namespaces; install iproute2 and util-linux"
    found = subprocess.run(
        ["unshare", "--net", "true"], capture_output=True, text=True, check=False
    )
    return found.stderr.strip()


@contextlib.contextmanager
def network(count: int) -> Iterator[Network]:
    """A network of a caller, host0, and as many others; it goes with the block."""
    with contextlib.ExitStack() as stack:
        switch = stack.enter_context(_namespace())
        switch.ip("link", "add", "switch", "type", "bridge")
        switch.ip("link", "set", "switch", "up")
        hosts = []
        for number in range(count + 1):
            host = Host(
                f"host{number}", f"{_NETWORK}.{number + 1}", stack.enter_context(_namespace())
            )
            holder = str(host.namespace.holder)
            switch.ip(
                *("link", "add", host.name, "type", "veth", "peer", "name", "wire"),
                *("netns", holder),
            )
            switch.ip("link", "set", host.name, "master", "switch", "up")
            host.namespace.ip("link", "set", "lo", "up")
            host.namespace.ip("address", "add", f"{host.address}/24", "dev", "wire")
            host.namespace.ip("link", "set", "wire", "up")
            hosts.append(host)
        yield Network(switch, tuple(hosts))


@contextlib.contextmanager
def _namespace() -> Iterator[Namespace]:
    command = ["unshare", "--net", "sh", "-c", "echo there && exec sleep 86400"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "there\n", "no network namespaces here"
        yield Namespace(holder.pid)
    finally:
        holder.kill()
        holder.communicate()
