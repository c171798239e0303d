"""Takes connections from a socket as long as there is room for them, handshakes included.

asyncio's own servers hold as many half-done handshakes as somebody opens, and tell of none.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from typing import TYPE_CHECKING, Any

from meshc.delivery.xds.transport.limits import descriptors
from meshc.delivery.xds.transport.memory import Memory, collect_memory, return_memory
from meshc.delivery.xds.transport.strangers import Strangers
from meshc.delivery.xds.transport.tls import reason_of

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from meshc.delivery.xds.transport.limits import Limits

_AT_ONCE = 16
"""Connections that are accepted before those that there are get a turn; others wait outside."""
_PAUSE_S = 0.5
_MANY, _FEW = 1_000, 100
"""Connections whose end frees memory that is worth a look at once, or in a while: 60 KB each."""
_CALM_S = 10.0
_SHUTDOWN_S = 1.0
_NETWORK = 8
"""Bytes of an address of IPv6 that a network of one customer has in common."""


class Place:
    """Room for one connection, from its first packet to its last."""

    __slots__ = ("_peer", "_room")

    def __init__(self, room: Room, peer: str) -> None:
        self._room: Room | None = room
        self._peer = peer

    def leave(self) -> None:
        """Give the room back, the first time that this is called."""
        room, self._room = self._room, None
        if room is not None:
            room.leave(self._peer)


class Room:
    """How many connections there are, in all and by address, of everything that listens."""

    def __init__(self, limits: Limits) -> None:
        self._most = min(limits.connections, descriptors())
        self._most_of_one = limits.connections_of_one
        self._of_one: Counter[str] = Counter()
        self._left = 0
        """Connections that have ended since all was calm."""
        self.memory = Memory()
        self.taken = 0
        self.refused = 0
        """Connections that there was no room for."""
        self.handshakes = Strangers()
        """Handshakes that failed, or took too long."""

    def take(self, address: Any) -> Place | None:
        """Return a place for a peer with the address of a socket, where there is one."""
        peer = _peer(address)
        is_full = self.taken >= self._most or self.memory.shortage()
        if is_full or (peer and self._of_one[peer] >= self._most_of_one):
            self.refused += 1
            return None
        self.taken += 1
        self._of_one[peer] += 1
        return Place(self, peer)

    def leave(self, peer: str) -> None:
        """Take a place back."""
        self.taken -= 1
        self._of_one[peer] -= 1
        if not self._of_one[peer]:
            del self._of_one[peer]
        self._left += 1
        loop = asyncio.get_running_loop()
        if self._left == 1:
            loop.call_later(_CALM_S, self._tidy)
        elif self._left % _MANY == 0:
            # Buffers of TLS, in pieces that the C library neither returns nor uses well again.
            loop.run_in_executor(None, return_memory)

    def _tidy(self) -> None:
        """Return the memory of many who have left together."""
        left, self._left = self._left, 0
        if left > _FEW:
            # A look at everything is short as long as few are there.
            work = collect_memory if self.taken < _FEW else return_memory
            asyncio.get_running_loop().run_in_executor(None, work)


def _peer(address: Any) -> str:
    """Return whom an address stands for: itself, a network of IPv6, "" for Unix sockets."""
    host = str(address[0]) if isinstance(address, tuple) else ""
    if ":" not in host:
        return host
    found = ipaddress.IPv6Address(host.partition("%")[0])
    return str(found.ipv4_mapped or found.packed[:_NETWORK].hex())


class Acceptor:
    """Accepts on a socket, which is closed with it; connections stay."""

    def __init__(
        self,
        sock: socket.socket,
        room: Room,
        protocol: Callable[[Place], asyncio.BaseProtocol],
        context: ssl.SSLContext | None,
        handshake_s: float,
    ) -> None:
        self._socket = sock
        self._room = room
        self._protocol = protocol
        self._context = context
        self._handshake_s = None if context is None else handshake_s
        self._shutdown_s = None if context is None else _SHUTDOWN_S
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._beginning: set[asyncio.Task[None]] = set()
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Accept nobody any more."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._socket)
            self._socket.close()

    async def wait_closed(self) -> None:
        """Return at once, as nothing is left to wait for."""

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # There are no file descriptors, until some connection ends.
                self._loop.remove_reader(self._socket)
                self._loop.call_later(_PAUSE_S, self._go_on)
                return
            place = self._room.take(address)
            if place is None:
                connection.close()
                continue
            connection.setblocking(False)  # noqa: FBT003, its signature
            task = self._loop.create_task(self._begin(connection, address, place))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    def _go_on(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._socket, self._accept)

    async def _begin(self, connection: socket.socket, address: Any, place: Place) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._protocol(place),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=self._shutdown_s,
            )
        except OSError as error:
            self._room.handshakes.add("", address, reason_of(error) or "the client hung up")
            place.leave()
        except BaseException:
            place.leave()
            raise


async def close(writer: asyncio.StreamWriter, seconds: float) -> None:
    """Close a connection once its peer has read everything, or when it has had the time to."""
    writer.close()
    try:
        async with asyncio.timeout(seconds):
            await writer.wait_closed()
    except OSError:  # a time limit is one
        writer.transport.abort()
