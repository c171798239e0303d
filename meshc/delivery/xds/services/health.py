"""gRPC's health service: serving only while there is a bundle to serve.

The two messages have one field each (``grpc/health/v1/health.proto``), so they are written here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from meshc.delivery.xds.protocol.wire import WireError, read_texts
from meshc.delivery.xds.transport.reading import Messages

if TYPE_CHECKING:
    from meshc.delivery.xds.services.hub import Hub
    from meshc.delivery.xds.transport.limits import Limits

_SERVICE = "grpc.health.v1.Health"
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"
_KNOWN = frozenset({"", "envoy.service.discovery.v3.AggregatedDiscoveryService"})
_LOOK_S = 1.0


class Health:
    """Answers whether the server serves."""

    def __init__(self, hub: Hub, limits: Limits) -> None:
        self._hub = hub
        self._limits = limits
        self.is_ending = False

    def __mapping__(self) -> dict[str, Handler]:
        """Return the methods by path, as grpclib wants them."""
        return {
            f"/{_SERVICE}/Check": Handler(self._check, Cardinality.UNARY_UNARY, bytes, bytes),
            f"/{_SERVICE}/Watch": Handler(self._watch, Cardinality.UNARY_STREAM, bytes, bytes),
        }

    async def _check(self, grpc: Any) -> None:
        if await self._asked(grpc) not in _KNOWN:
            raise GRPCError(Status.NOT_FOUND, "there is no such service")
        await grpc.send_message(self._state())

    async def _watch(self, grpc: Any) -> None:
        await self._asked(grpc)
        said = b""
        while True:
            state = self._state()
            if state != said:
                await grpc.send_message(state)
                said = state
            await asyncio.sleep(_LOOK_S)

    async def _asked(self, grpc: Any) -> str:
        async for data in Messages(grpc, self._limits):
            try:
                return read_texts(data).get(1, "")
            except WireError as error:
                raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        raise GRPCError(Status.INVALID_ARGUMENT, "a request is missing")

    def _state(self) -> bytes:
        is_serving = self._hub.bundles is not None and not self.is_ending
        return _SERVING if is_serving else _NOT_SERVING
