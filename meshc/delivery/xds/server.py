"""The gRPC server: sockets, services and limits put together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from grpclib.server import Handler, Server

from meshc.delivery.xds.connection import Connections, LimitedProtocol
from meshc.delivery.xds.services import RawCodec

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Collection

    from grpclib._typing import IServable

    from meshc.delivery.xds.limits import Limits


class XdsServer(Server):
    """grpclib's server over connections that have limits."""

    # How many connections come between two looks at all of them; ten of thousands is too often.
    __gc_interval__ = 500

    def __init__(self, services: Collection[IServable], limits: Limits) -> None:
        super().__init__(services, codec=RawCodec())
        self.connections = Connections(limits)

    async def listen(
        self, sock: socket.socket, context: ssl.SSLContext | None, *, handshake_s: float
    ) -> None:
        """Accept on a socket, instead of the one before; open connections stay.

        Sockets of one port share a queue, so nobody is turned away in between.
        """
        before = self._server
        self._server = await asyncio.get_running_loop().create_server(
            self._protocol_factory,
            sock=sock,
            backlog=4096,
            ssl=context,
            ssl_handshake_timeout=None if context is None else handshake_s,
            ssl_shutdown_timeout=None if context is None else 1.0,
        )
        if self._server_closed_fut is None:
            self._server_closed_fut = asyncio.get_running_loop().create_future()
        if before is not None:
            before.close()

    def _protocol_factory(self) -> LimitedProtocol:
        self.__gc_step__()
        handler = Handler(self._mapping, self._codec, None, self.__dispatch__)
        self._handlers.add(handler)
        return LimitedProtocol(handler, self._h2_config, self.connections)
