"""Hostile clients of a server, one kind after the other, and what everybody else notices.

The server is a process of its own, and so is whoever attacks it.  Somebody connects and asks all
the time, somebody else asks on a connection that was there before; both have to get their answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import random
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from tests.campaigns.crowds import DEAF, MANY, OF_TLS, crowd
from tests.campaigns.load.host import wait_until
from tests.campaigns.report import Report
from tests.delivery.xds import raw as wire
from tests.delivery.xds.certificates import certificates
from tests.delivery.xds.floods import FLOODS, opened
from tests.delivery.xds.meshes import FRONT, SMALL, make_bundle
from tests.delivery.xds.process import serving
from tests.delivery.xds.raw import Raw, raw
from tests.delivery.xds.served import Caller, caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from tests.delivery.xds.process import ServeProcess

QUIET = "nobody attacks"
_FEW, _MANY = 4, 200
"""Connections at once: of those that send all the time, and of those that wait."""
_PART = 100
_FRAMES = 40_000
_PAUSE_S = 0.05
_LATE_S = 5.0
_CHANGE_S = 1.0
_OTHER = SMALL | {"front": FRONT.replace("9002", "9003")}
_MORE_MIB = 64.0
_LEFT_MIB = 128.0
"""What pieces of memory may keep that nobody uses, after tens of thousands of handshakes."""
_OF_ONE_MIB = 0.1
"""What OpenSSL and its buffers take for a handshake that has begun."""
_OPTIONS = {"grpc.use_local_subchannel_pool": 1}


async def _flood(peer: Raw, part: Callable[[int], bytes]) -> None:
    await peer.begin()
    await peer.send(opened())
    for first in range(0, _FRAMES, _PART):
        if not await peer.send(b"".join(part(number) for number in range(first, first + _PART))):
            return
        await asyncio.sleep(0)


async def _nothing(peer: Raw) -> None:
    await peer.is_ended()


async def _slow_preface(peer: Raw) -> None:
    for byte in wire.PREFACE:
        if not await peer.send(bytes((byte,))):
            return
        await asyncio.sleep(0.3)


async def _no_window(peer: Raw) -> None:
    await peer.begin({4: 0})
    await peer.send(opened())
    await peer.is_ended()


async def _busy(peer: Raw) -> None:
    await _flood(peer, lambda _: wire.message(1, wire.request(CLUSTER, "front1")))


_WAITING: dict[str, Callable[[Raw], Awaitable[None]]] = {
    "nothing is sent": _nothing,
    "a preface that comes slowly": _slow_preface,
    "windows without room": _no_window,
}
_BUSY = "the same request"
ATTACKS = (QUIET, *FLOODS, _BUSY, *_WAITING, *MANY)


@dataclass(frozen=True, slots=True)
class _Target:
    """A server, what a client of it shows, and how large a part of the crowds comes to it."""

    server: ServeProcess
    credentials: Any = None
    share: float = 1.0

    def others(self) -> contextlib.AbstractAsyncContextManager[Caller]:
        """Connect as somebody who means well."""
        return caller(self.server.port, self.credentials, _OPTIONS)


def _attack(kind: str, port: int, share: float) -> None:
    """Attack until this process is killed."""
    if kind in MANY:
        crowd(kind, port, max(1, int(MANY[kind] * share)))

    async def again() -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                async with raw(port) as peer:
                    if kind in FLOODS:
                        await _flood(peer, FLOODS[kind])
                    else:
                        await _WAITING.get(kind, _busy)(peer)

    async def all_at_once() -> None:
        await asyncio.gather(*(again() for _ in range(_MANY if kind in _WAITING else _FEW)))

    asyncio.run(all_at_once())


@dataclass(slots=True)
class _Waits:
    """How long everybody else waited, in seconds."""

    new: list[float] = field(default_factory=list)
    """For a connection and its first answer."""
    old: list[float] = field(default_factory=list)
    """For an answer on a connection that was there before."""
    failures: int = 0

    async def measure(self, target: _Target, seconds: float) -> None:
        async with target.others() as client:
            end = time.monotonic() + seconds
            while time.monotonic() < end or not self.old:
                async with target.others() as other:
                    await self._asked(other, CLUSTER, (), self.new)
                await self._asked(client, ENDPOINT, ("app",), self.old)
                await asyncio.sleep(_PAUSE_S)

    async def _asked(
        self, client: Caller, type_url: str, names: Sequence[str], waits: list[float]
    ) -> None:
        began = time.monotonic()
        call = client.stream("front1")
        try:
            await call.ask(type_url, resource_names=names)
            await call.answer()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, AssertionError, TimeoutError):
            self.failures += 1
        waits.append(time.monotonic() - began)
        call.cancel()


def run(*, minutes: float, seed: int) -> Report:
    """Attack in every way, in an order of chance, for so long all together."""
    kinds = list(ATTACKS)
    random.Random(seed).shuffle(kinds)
    return attack({kind: minutes * 60 / len(kinds) for kind in kinds}, seed=seed)


def attack(
    times: dict[str, float], *, seed: int, late_s: float = _LATE_S, share: float = 1.0
) -> Report:
    """Attack for so many seconds in each of these ways; nobody else may wait for ``late_s``.

    Of crowds only a share comes.
    """
    report = Report(name="attack", seed=seed)
    with (
        tempfile.TemporaryDirectory(prefix="meshc-attack-") as name,
        _targets(Path(name), share) as targets,
    ):
        before = [one.server.resident_mib() for one in targets]
        for kind, seconds in times.items():
            which = kind in OF_TLS
            _look(targets[which], report, kind, seconds, late_s)
            more = targets[which].server.resident_mib() - before[which]
            if more > _MORE_MIB + _OF_ONE_MIB * MANY.get(kind, 0):
                report.violated(f"{more:.0f} MiB more memory after: {kind}")
        for one, mib in zip(targets, before, strict=True):
            _see_all_gone(one.server, report)
            _see_memory_back(one.server, report, mib + _LEFT_MIB)
    return report


@contextlib.contextmanager
def _targets(folder: Path, share: float) -> Iterator[tuple[_Target, _Target]]:
    """A server in plain text and one that asks for certificates."""
    plain, secured = folder / "plain", folder / "secured"
    for place in (plain, secured):
        make_bundle(place)
    known = certificates(folder / "trust")
    shown = grpc.ssl_channel_credentials(
        *(place.read_bytes() for place in (known.servers.file, *known.node_files))
    )
    with serving(plain) as one, serving(secured, tls=known.tls) as other:
        yield _Target(one, share=share), _Target(other, shown, share)


def _see_all_gone(server: ServeProcess, report: Report) -> None:
    try:
        wait_until(lambda: server.status().get("connections") == 0, "all gone")
    except TimeoutError:
        report.violated(f"{server.status().get('connections')} connections are left")
    report.count("connections turned away", server.status().get("turned_away", 0))


def _see_memory_back(server: ServeProcess, report: Report, most: float) -> None:
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: server.resident_mib() < most, "memory given back")
    if (found := server.resident_mib()) >= most:
        report.violated(f"{found:.0f} MiB when all are gone, and not {most:.0f}")


def _look(target: _Target, report: Report, kind: str, seconds: float, late_s: float) -> None:
    """See what everybody else notices of one attack."""
    waits, server = _Waits(), target.server
    with contextlib.ExitStack() as stack:
        if kind != QUIET:
            stack.enter_context(_attacking(target, report, kind))
        if kind == DEAF:
            stack.enter_context(_changing(server.folder))
        asyncio.run(waits.measure(target, seconds))
    report.count("answers to others", len(waits.new) + len(waits.old) - waits.failures)
    new, old = (_of_hundred(one) for one in (waits.new, waits.old))
    report.notes.append(
        f"{kind}: 99 of 100 new clients wait up to {new * 1000:.0f} ms, old ones "
        f"{old * 1000:.0f} ms; {server.resident_mib():.0f} MiB"
    )
    if waits.failures:
        report.violated(f"{waits.failures} questions of others failed: {kind}")
    if max(new, old) > late_s:
        report.violated(f"others wait for {max(new, old):.1f} s: {kind}")


@contextlib.contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Change what is served all the time, as long as the block runs."""
    is_over = threading.Event()

    def change() -> None:
        for documents in itertools.cycle((_OTHER, SMALL)):
            if is_over.wait(_CHANGE_S):
                return
            make_bundle(folder, documents)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        yield
    finally:
        is_over.set()
        changing.join()


@contextlib.contextmanager
def _attacking(target: _Target, report: Report, kind: str) -> Iterator[None]:
    """Attack from another process as long as the block runs."""
    server = target.server
    before = server.status()

    def has_begun() -> bool:
        found = server.status()
        if kind in OF_TLS:
            return bool(found.get("handshake_failures", 0) > before["handshake_failures"])
        is_there = kind not in FLOODS and found.get("connections", 0) > 0
        return is_there or bool(found.get("turned_away", 0) > before["turned_away"])

    process = multiprocessing.get_context("spawn").Process(
        target=_attack, args=(kind, server.port, target.share)
    )
    process.start()
    try:
        try:
            wait_until(has_begun, "it has begun, and of a flood somebody was cut")
        except TimeoutError:
            report.violated(f"nobody was cut: {kind}")
        yield
        if not process.is_alive():
            report.violated(f"the attack ended by itself: {kind}")
    finally:
        process.kill()
        process.join()


def _of_hundred(waits: list[float]) -> float:
    """What 99 of 100 waits do not exceed."""
    return sorted(waits)[int(len(waits) * 0.99)]
