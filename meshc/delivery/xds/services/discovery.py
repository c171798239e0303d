"""The gRPC methods of the xDS protocol: what each is called, and which streams it makes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError

from meshc.delivery.xds.content.grpc_client import USER_AGENT
from meshc.delivery.xds.content.rewrite import Variant
from meshc.delivery.xds.protocol.stream import ProtocolError, Stream
from meshc.delivery.xds.protocol.types import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    ROUTE,
    RUNTIME,
    SECRET,
    TypeUrl,
)
from meshc.delivery.xds.protocol.wire import (
    DeltaRequest,
    WireError,
    read_delta_request,
    read_request,
)
from meshc.delivery.xds.services.connected import Connected
from meshc.delivery.xds.transport.reading import Messages, account_of
from meshc.delivery.xds.transport.strangers import MOST_SHOWN
from meshc.diagnostics.errors import MeshcError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.delivery.xds.protocol.snapshot import Snapshot
    from meshc.delivery.xds.protocol.wire import Request
    from meshc.delivery.xds.services.hub import Hub
    from meshc.delivery.xds.transport.limits import Account, Limits

_AGGREGATED = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_SINGLE: Mapping[str, tuple[str, TypeUrl]] = {
    "envoy.service.cluster.v3.ClusterDiscoveryService": ("Clusters", CLUSTER),
    "envoy.service.endpoint.v3.EndpointDiscoveryService": ("Endpoints", ENDPOINT),
    "envoy.service.listener.v3.ListenerDiscoveryService": ("Listeners", LISTENER),
    "envoy.service.route.v3.RouteDiscoveryService": ("Routes", ROUTE),
    "envoy.service.secret.v3.SecretDiscoveryService": ("Secrets", SECRET),
    "envoy.service.runtime.v3.RuntimeDiscoveryService": ("Runtime", RUNTIME),
    "envoy.service.extension.v3.ExtensionConfigDiscoveryService": ("ExtensionConfigs", EXTENSION),
}


class RawCodec(CodecBase):
    """Leaves messages as bytes: they are read and written by `meshc.delivery.xds.protocol.wire`."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: object) -> bytes:  # noqa: ARG002, its signature
        """Return the message."""
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:  # noqa: ARG002, the same
        """Return the message."""
        return bytes(data)


class Gate(Protocol):
    """Decides who may ask for a node."""

    def check(self, peer: Any, node: str) -> None:
        """Raise GRPCError where this peer may not ask for this node."""


class Discovery:
    """All services of the protocol, over one hub."""

    def __init__(self, hub: Hub, gate: Gate, limits: Limits) -> None:
        self._hub = hub
        self._gate = gate
        self._limits = limits
        self.is_ending = False

    def __mapping__(self) -> dict[str, Handler]:
        """Return the methods by path, as grpclib wants them."""
        methods = self._methods(_AGGREGATED, "AggregatedResources", None)
        for service, (noun, type_url) in _SINGLE.items():
            methods |= self._methods(service, noun, type_url)
        return methods

    def _methods(self, service: str, noun: str, only: TypeUrl | None) -> dict[str, Handler]:
        return {
            f"/{service}/{prefix}{noun}": Handler(
                self._method(only=only, is_delta=is_delta),
                Cardinality.STREAM_STREAM,
                bytes,
                bytes,
            )
            for prefix, is_delta in (("Stream", False), ("Delta", True))
        }

    def _method(self, *, only: TypeUrl | None, is_delta: bool) -> Any:
        async def serve(grpc: Any) -> None:
            await self._serve(grpc, only=only, is_delta=is_delta)

        return serve

    async def _serve(self, grpc: Any, *, only: TypeUrl | None, is_delta: bool) -> None:
        read = read_delta_request if is_delta else read_request
        connected: Connected | None = None
        account, names = account_of(grpc), 0
        try:
            async for data in Messages(grpc, self._limits):
                try:
                    request = read(data)
                    if connected is None:
                        connected = await self._connect(grpc, request, only=only, is_delta=is_delta)
                    elif request.node and request.node != connected.node:
                        raise GRPCError(
                            Status.INVALID_ARGUMENT, "the node of a stream cannot change"
                        )
                    self._check_size(account, connected.state, request)
                    connected.emit(connected.state.request(request, time.monotonic()))
                    account.names += connected.state.remembered - names
                    names = connected.state.remembered
                    await connected.has_room()
                except (WireError, ProtocolError) as error:
                    raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        except asyncio.CancelledError:
            if connected is not None and connected.fault is not None:
                raise connected.fault from None
            if not self.is_ending:
                raise  # the client has gone
            raise GRPCError(Status.UNAVAILABLE, "this server ends; ask another one") from None
        finally:
            if connected is not None:
                connected.close()
                account.names -= names
                self._hub.leave(connected)

    def _check_size(self, account: Account, state: Stream, request: Request | DeltaRequest) -> None:
        """Refuse what would have to be remembered without end."""
        known = state.subscriptions
        if request.type_url not in known and len(known) >= self._limits.types:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many types on one stream")
        if isinstance(request, DeltaRequest):
            more = len(request.subscribe) + len(request.known)
        else:
            before = known.get(TypeUrl(request.type_url))
            more = len(request.names) - (0 if before is None else len(before.interest.names))
        if more > 0 and account.names + more > self._limits.names:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many names on one connection")

    async def _connect(
        self,
        grpc: Any,
        request: Request | DeltaRequest,
        *,
        only: TypeUrl | None,
        is_delta: bool,
    ) -> Connected:
        if not request.node:
            raise GRPCError(Status.INVALID_ARGUMENT, "the first request must name its node")
        try:
            self._gate.check(grpc.peer, request.node)
        except GRPCError as error:
            self._hub.strangers.add(request.node, grpc.peer.addr(), str(error.message))
            raise
        variant = _variant(request, only=only, is_delta=is_delta)
        try:
            snapshot = await self._snapshot(request.node, variant)
        except UnknownNameError as error:
            self._hub.strangers.add(request.node, grpc.peer.addr(), error.message)
            raise GRPCError(Status.NOT_FOUND, error.message[:MOST_SHOWN]) from error
        except MeshcError as error:
            raise GRPCError(Status.UNAVAILABLE, error.message) from error
        state = Stream(
            snapshot=snapshot,
            is_delta=is_delta,
            only=only,
            has_legacy_wildcard=variant is not Variant.GRPC_CLIENT,
        )
        connected = Connected(
            grpc, node=request.node, variant=variant, state=state, taken_s=self._limits.taken
        )
        self._hub.join(connected)
        return connected

    async def _snapshot(self, node: str, variant: Variant) -> Snapshot:
        """Return a node's snapshot of the generation that is served when this returns."""
        while (bundles := self._hub.bundles) is not None:
            if not bundles.is_remote:
                return bundles.snapshot(node, variant)
            found = await asyncio.to_thread(bundles.snapshot, node, variant)
            if bundles is self._hub.bundles:
                return found
        raise GRPCError(Status.UNAVAILABLE, "no bundle is loaded yet")


def _variant(request: Request | DeltaRequest, *, only: TypeUrl | None, is_delta: bool) -> Variant:
    if only is None:
        is_grpc = request.user_agent.startswith(USER_AGENT)
        return Variant.GRPC_CLIENT if is_grpc else Variant.AGGREGATED
    return Variant.DELTA_GRPC if is_delta else Variant.GRPC
