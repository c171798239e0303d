"""The server's life: load, listen, watch the source and the certificates, drain, end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.delivery.xds.content.source import prepare_changed
from meshc.delivery.xds.services.client_status import ClientStatus
from meshc.delivery.xds.services.discovery import Discovery
from meshc.delivery.xds.services.health import Health
from meshc.delivery.xds.services.hub import Hub
from meshc.delivery.xds.services.rest import Rest
from meshc.delivery.xds.services.server import XdsServer
from meshc.delivery.xds.transport.identity import (
    CertificateGate,
    OpenGate,
    is_withdrawn,
    read_withdrawn,
)
from meshc.delivery.xds.transport.listening import listening
from meshc.delivery.xds.transport.memory import return_memory
from meshc.diagnostics.errors import MeshcError

if TYPE_CHECKING:
    import socket
    import ssl

    from grpclib._typing import IServable

    from meshc.delivery.xds.content.bundles import NodeBundles
    from meshc.delivery.xds.content.rewrite import Variant
    from meshc.delivery.xds.content.source import Source
    from meshc.delivery.xds.settings import ServeSettings
    from meshc.delivery.xds.transport.accepting import Acceptor

_CERTIFICATES_S = 2.0
"""How often certificates and the list of withdrawn ones are looked at."""


@dataclass(slots=True)
class Facts:
    """What is worth knowing of a running server."""

    started: float = 0.0
    loaded: float = 0.0
    switch_s: float = 0.0
    """How long it took until the newest generation was on its way to everybody."""
    problem: str = ""
    """Why the newest of the source is not served."""
    certificate_problem: str = ""
    switches: int = 0
    source_errors: int = 0
    """Looks at the source that ended with a problem."""
    stalls: int = 0
    """How often the event loop was busy with one thing for long."""


class Serving:
    """One server from start to end."""

    def __init__(self, settings: ServeSettings, source: Source) -> None:
        self.settings = settings
        self.source = source
        self.hub = Hub()
        self.facts = Facts(started=time.time())
        self.bundles: NodeBundles | None = None
        self._tls_state: object = None
        self._withdrawn_state: object = None
        self._socket: socket.socket | None = None
        self._server: XdsServer | None = None
        self._rest_socket: socket.socket | None = None
        self._rest_server: Acceptor | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_news = asyncio.Event()
        self._gate: CertificateGate | OpenGate = OpenGate()
        self._discovery: Discovery
        self._health: Health

    async def start(self) -> None:
        """Load a bundle and listen; nobody is told anything before there is one.

        Raises:
            MeshcError: there is no bundle, or the address or a certificate cannot be used.
        """
        bundles = await asyncio.to_thread(self.source.load, None)
        assert bundles is not None  # noqa: S101, nothing was loaded before
        self.bundles = bundles
        self.facts.loaded = time.time()
        await self.hub.switch(bundles)
        if self.settings.tls is not None:
            self._gate = CertificateGate(bundles.mesh)
            self._read_withdrawn()
        self._discovery = Discovery(self.hub, self._gate, self.settings.limits)
        self._health = Health(self.hub, self.settings.limits)
        clients = ClientStatus(self.hub, self._gate, self.settings.limits)
        services: list[IServable] = [self._discovery, self._health, clients]
        self._server = XdsServer(services, self.settings.limits)
        self._socket = listening(self.settings.listen, is_shared=True)
        if self.settings.rest is not None:
            self._rest_socket = listening(self.settings.rest, is_shared=True)
        await self._listen()
        loop = asyncio.get_running_loop()

        def notify() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._is_news.set)

        self.source.watch(notify)
        for work in (self._watch_source, self._watch_certificates):
            task = asyncio.create_task(work())
            self._tasks.add(task)

    @property
    def memory_problem(self) -> str:
        """Why nobody new is served, "" where there is memory for them."""
        return "" if self._server is None else self._server.connections.room.memory.shortage()

    @property
    def server(self) -> XdsServer:
        """The gRPC server, once started."""
        assert self._server is not None  # noqa: S101, see above
        return self._server

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take no more connections, end the streams, and leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self.source.close)
        if self._server is not None:
            self._discovery.is_ending = self._health.is_ending = True
            self._server.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), grace_s)
            self._server.connections.close_where(lambda _peer: True)
            self._server = None
        if self._rest_server is not None:
            self._rest_server.close()
        for one in (self._socket, self._rest_socket):
            if one is not None:
                one.close()

    def look(self) -> None:
        """Look at the source at once."""
        self._is_news.set()

    async def refresh(self) -> bool:
        """Look at the source once; return whether something new is served."""
        try:
            is_new = await self._follow()
        except Exception as error:  # noqa: BLE001, who stops looking serves the old one for ever
            self.source.forget()
            self.facts.problem = _reason(error)
            self.facts.source_errors += 1
            return False
        self.facts.problem = ""
        return is_new

    async def _follow(self) -> bool:
        old = self.bundles
        assert old is not None  # noqa: S101, the server has started
        new = await asyncio.to_thread(self.source.load, old)
        if new is None:
            return False
        concerned = await self._prepared(old, new)
        self.facts.problem = ""
        began = time.monotonic()
        await self.hub.switch(new, concerned)
        self.facts.switch_s = time.monotonic() - began
        self.bundles = new
        self.facts.loaded = time.time()
        self.facts.switches += 1
        new.settle()
        await asyncio.to_thread(return_memory)
        return True

    async def _prepared(self, old: NodeBundles, new: NodeBundles) -> set[str]:
        """Make what connected nodes need, also those that come meanwhile; return who changes."""
        seen: set[tuple[str, Variant]] = set()
        concerned: set[str] = set()
        while late := {(one.node, one.variant) for one in self.hub} - seen:
            concerned |= await asyncio.to_thread(prepare_changed, old, new, late)
            seen |= late
        return concerned

    async def _watch_source(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_news.wait(), self.settings.poll)
            self._is_news.clear()
            await self.refresh()

    async def _watch_certificates(self) -> None:
        while self.settings.tls is not None:
            await asyncio.sleep(_CERTIFICATES_S)
            try:
                self.server.connections.close_expired(time.time())
                if self.settings.tls.state() != self._tls_state:
                    await self._listen()
                self._read_withdrawn()
                self.facts.certificate_problem = ""
            except Exception as error:  # noqa: BLE001, as above
                self.facts.certificate_problem = _reason(error)

    async def _listen(self) -> None:
        """Listen with the certificates of now; connections of before go on with theirs."""
        tls = self.settings.tls
        state = None if tls is None else tls.state()
        context = None if tls is None else tls.context()
        assert self._socket is not None  # noqa: S101, see `start`
        await self.server.listen(
            self._socket.dup(), context, handshake_s=self.settings.limits.handshake
        )
        if self._rest_socket is not None:
            before, room = self._rest_server, self.server.connections.room
            polls = Rest(self.hub, self._gate, self.settings.limits, room)
            self._rest_server = polls.listen(self._rest_socket.dup(), self._context())
            if before is not None:
                before.close()
        self._tls_state = state

    def _context(self) -> ssl.SSLContext | None:
        """Return what polls are encrypted with: the same, over HTTP/1.1."""
        if self.settings.tls is None:
            return None
        context = self.settings.tls.context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _read_withdrawn(self) -> None:
        path = self.settings.withdrawn
        if path is None or not isinstance(self._gate, CertificateGate):
            return
        status = path.stat()
        state = (status.st_ino, status.st_mtime_ns, status.st_size)
        if state == self._withdrawn_state:
            return
        withdrawn = read_withdrawn(path.read_text(encoding="utf-8"))
        self._gate.withdrawn, self._withdrawn_state = withdrawn, state
        if self._server is not None:
            self._server.connections.close_where(lambda peer: is_withdrawn(peer.cert(), withdrawn))


def _reason(error: Exception) -> str:
    """Say what was in the way, and what to do."""
    if isinstance(error, MeshcError):
        return f"{error.message}; {error.hint}" if error.hint else error.message
    if isinstance(error, OSError):
        return str(error)
    return f"a mistake of meshc itself: {type(error).__name__}: {error}"
