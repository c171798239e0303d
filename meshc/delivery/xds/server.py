"""The gRPC server: sockets, services and limits put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpclib.server import Handler, Server

from meshc.delivery.xds.connection import Connections, LimitedProtocol
from meshc.delivery.xds.services import RawCodec

if TYPE_CHECKING:
    from collections.abc import Collection

    from grpclib._typing import IServable

    from meshc.delivery.xds.limits import Limits


class XdsServer(Server):
    """grpclib's server over connections that have limits."""

    def __init__(self, services: Collection[IServable], limits: Limits) -> None:
        super().__init__(services, codec=RawCodec())
        self.connections = Connections(limits)

    def _protocol_factory(self) -> LimitedProtocol:
        self.__gc_step__()
        handler = Handler(self._mapping, self._codec, None, self.__dispatch__)
        self._handlers.add(handler)
        return LimitedProtocol(handler, self._h2_config, self.connections)
