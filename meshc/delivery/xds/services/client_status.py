"""CSDS: what each client was sent, and what it made of it, in Envoy's own words for that.

An Envoy does not carry these messages, so their few fields are written here:
``envoy/service/status/v3/csds.proto`` and ``envoy/admin/v3/config_dump_shared.proto``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from meshc.delivery.xds.protocol.wire import length_delimited, number_field
from meshc.delivery.xds.services.refusals import MAX_REASON, origins, place_of
from meshc.delivery.xds.transport.reading import Messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshc.delivery.xds.protocol.subscription import Subscription
    from meshc.delivery.xds.services.connected import Connected
    from meshc.delivery.xds.services.discovery import Gate
    from meshc.delivery.xds.services.hub import Hub
    from meshc.delivery.xds.transport.limits import Limits

_SERVICE = "envoy.service.status.v3.ClientStatusDiscoveryService"
_SYNCED, _STALE, _ERROR = 1, 3, 4
"""`ConfigStatus`."""
_REQUESTED, _ACKED, _NACKED = 1, 3, 4
"""`ClientResourceStatus`."""


class ClientStatus:
    """Answers for the nodes that the asking peer may ask for."""

    def __init__(self, hub: Hub, gate: Gate, limits: Limits) -> None:
        self._hub = hub
        self._gate = gate
        self._limits = limits

    def __mapping__(self) -> dict[str, Handler]:
        """Return the methods by path, as grpclib wants them."""
        return {
            f"/{_SERVICE}/FetchClientStatus": Handler(
                self._answer, Cardinality.UNARY_UNARY, bytes, bytes
            ),
            f"/{_SERVICE}/StreamClientStatus": Handler(
                self._answer_all, Cardinality.STREAM_STREAM, bytes, bytes
            ),
        }

    async def _answer(self, grpc: Any) -> None:
        async for _ in Messages(grpc, self._limits):
            await grpc.send_message(self._described(grpc.peer))
            return
        raise GRPCError(Status.INVALID_ARGUMENT, "a request is missing")

    async def _answer_all(self, grpc: Any) -> None:
        async for _ in Messages(grpc, self._limits):
            await grpc.send_message(self._described(grpc.peer))

    def _described(self, peer: Any) -> bytes:
        return b"".join(
            length_delimited(1, _client(one, origins(self._hub, one.node)))
            for one in self._visible(peer)
        )

    def _visible(self, peer: Any) -> Iterator[Connected]:
        for one in self._hub:
            try:
                self._gate.check(peer, one.node)
            except GRPCError:
                continue
            yield one


def _client(one: Connected, origins: Mapping[str, Any]) -> bytes:
    """Write a `ClientConfig`."""
    parts = [length_delimited(1, length_delimited(1, one.node.encode()))]
    for type_url, known in one.state.subscriptions.items():
        for name in sorted(known.has):
            place = place_of(origins, one.node, name)
            parts.append(length_delimited(3, _resource(type_url, name, known, place)))
    return b"".join(parts)


def _resource(type_url: str, name: str, known: Subscription, place: str) -> bytes:
    """Write a `GenericXdsConfig`; the spec line of what was refused stands after the reason."""
    if known.refusal is not None and name in known.refused:
        status, verdict = _ERROR, _NACKED
    elif known.is_outstanding:
        status, verdict = _STALE, _REQUESTED
    else:
        status, verdict = _SYNCED, _ACKED
    parts = [
        length_delimited(1, type_url.encode()),
        length_delimited(2, name.encode()),
        length_delimited(3, known.has[name].encode()),
        number_field(6, status),
        number_field(7, verdict),
    ]
    if verdict == _NACKED and known.refusal is not None:
        reason = known.refusal[:MAX_REASON] + (f" ({place})" if place else "")
        failure = length_delimited(3, reason.encode()) + length_delimited(
            4, known.refused_version.encode()
        )
        parts.append(length_delimited(8, failure))
    return b"".join(parts)
