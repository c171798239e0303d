"""The gRPC server: sockets, services and limits put together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from grpclib.server import Handler, Server

from meshc.delivery.xds.services.discovery import RawCodec
from meshc.delivery.xds.transport.accepting import Acceptor
from meshc.delivery.xds.transport.connection import Connections, LimitedProtocol

if TYPE_CHECKING:
    import socket
    import ssl
    from asyncio import AbstractServer
    from collections.abc import Collection

    from grpclib._typing import IServable

    from meshc.delivery.xds.transport.accepting import Place
    from meshc.delivery.xds.transport.limits import Limits


class XdsServer(Server):
    """grpclib's server over connections that have limits."""

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
        acceptor = Acceptor(sock, self.connections.room, self._protocol, context, handshake_s)
        self._server = cast("AbstractServer", acceptor)  # grpclib closes it, and no more
        if self._server_closed_fut is None:
            self._server_closed_fut = asyncio.get_running_loop().create_future()
        if before is not None:
            before.close()

    def close(self) -> None:
        """Accept nobody any more, and end all streams."""
        # grpclib would remember those whose handshake failed, too, and for ever.
        self._handlers = {one.handler for one in self.connections.open}
        super().close()

    def _protocol(self, place: Place) -> LimitedProtocol:
        handler = Handler(self._mapping, self._codec, None, self.__dispatch__)
        return LimitedProtocol(handler, self._h2_config, self.connections, place)
