"""Made-up resources behind the real server, and a client that is not ours.

A bundle has neither secrets nor clusters called ``a``; from the bundle on, all is as in
`meshc serve`, the connection included.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.xds.protocol.snapshot import TypeSet
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
from meshc.delivery.xds.services.discovery import Discovery
from meshc.delivery.xds.services.hub import Hub
from meshc.delivery.xds.services.server import XdsServer
from meshc.delivery.xds.transport.addresses import address
from meshc.delivery.xds.transport.identity import OpenGate
from meshc.delivery.xds.transport.limits import Limits
from meshc.delivery.xds.transport.listening import listening
from meshc.diagnostics.errors import UnknownNameError
from tests.delivery.xds.served import ADS, Call, Caller, caller, free_port, until
from tests.delivery.xds.streams import resource, snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from meshc.delivery.xds.content.rewrite import Variant
    from meshc.delivery.xds.protocol.snapshot import Snapshot

SINGLE = {
    CLUSTER: "envoy.service.cluster.v3.ClusterDiscoveryService/Clusters",
    ENDPOINT: "envoy.service.endpoint.v3.EndpointDiscoveryService/Endpoints",
    LISTENER: "envoy.service.listener.v3.ListenerDiscoveryService/Listeners",
    ROUTE: "envoy.service.route.v3.RouteDiscoveryService/Routes",
    SECRET: "envoy.service.secret.v3.SecretDiscoveryService/Secrets",
    RUNTIME: "envoy.service.runtime.v3.RuntimeDiscoveryService/Runtime",
    EXTENSION: "envoy.service.extension.v3.ExtensionConfigDiscoveryService/ExtensionConfigs",
}
"""The service of each type, and what its methods are called after."""

ALL = {
    "clusters": "a b",
    "endpoints": "e-a e-b",
    "listeners": "l m",
    "routes": "r s",
    "secrets": "s t",
    "runtimes": "u v",
    "extensions": "x y",
}
"""Two resources of each type."""
NAMES: Mapping[TypeUrl, tuple[str, str]] = {
    CLUSTER: ("a", "b"),
    ENDPOINT: ("e-a", "e-b"),
    LISTENER: ("l", "m"),
    ROUTE: ("r", "s"),
    SECRET: ("s", "t"),
    RUNTIME: ("u", "v"),
    EXTENSION: ("x", "y"),
}
"""Their names."""

both_variants = pytest.mark.parametrize("is_delta", [False, True], ids=["whole", "delta"])

_MARK = TypeUrl("type.googleapis.com/tests.Mark")
_MARKS = TypeSet.of(resource(_MARK, f"mark-{letter}") for letter in "abcdefghijklmnopqrstuvwxyz")


class _Shelf:
    """Snapshots by node, as a generation of a bundle gives them out."""

    is_remote = False

    def __init__(self, snapshots: Mapping[str, Snapshot]) -> None:
        self._snapshots = snapshots

    def snapshot(self, node: str, variant: Variant) -> Snapshot:
        del variant
        if node not in self._snapshots:
            raise UnknownNameError("node", node, ())
        return self._snapshots[node]

    def documents(
        self, node: str, type_url: TypeUrl, names: frozenset[str], known: str
    ) -> tuple[str, list[Any]]:
        raise NotImplementedError  # nobody polls here

    def origins(self, node: str) -> Mapping[str, Any]:
        del node
        return {}


@dataclass
class Talk:
    """A client's end of one stream: knows what it asked for and what it was told last."""

    call: Call
    is_delta: bool
    _names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _nonces: dict[str, str] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)

    async def ask(self, type_url: str, *names: str, **fields: Any) -> None:
        """Ask for exactly these names; in delta, for these beside what was asked for before."""
        self._names[type_url] = names
        if self.is_delta:
            await self.call.ask(type_url, resource_names_subscribe=names, **fields)
        else:
            known = {
                "response_nonce": self._nonces.get(type_url, ""),
                "version_info": self._versions.get(type_url, ""),
            }
            await self.call.ask(type_url, resource_names=names, **known | fields)

    async def drop(self, type_url: str, *names: str) -> None:
        """In delta, ask for these no longer."""
        await self.call.ask(type_url, resource_names_unsubscribe=names)

    async def answer(self) -> Any:
        """Return the next response, which stays without an answer."""
        found = await self.call.answer()
        self._nonces[found.type_url] = found.nonce
        return found

    async def accept(self, response: Any) -> None:
        """Say that a response is good."""
        if self.is_delta:
            await self.call.ask(response.type_url, response_nonce=response.nonce)
        else:
            self._versions[response.type_url] = response.version_info
            await self.ask(response.type_url, *self._names[response.type_url])

    async def refuse(self, response: Any, reason: str = "no") -> None:
        """Say that a response is bad; the version stays that of what was good."""
        if self.is_delta:
            await self.call.ask(response.type_url, response_nonce=response.nonce, error=reason)
        else:
            await self.ask(response.type_url, *self._names[response.type_url], error=reason)

    async def taken(self) -> Any:
        """Return the next response, accepted."""
        found = await self.answer()
        await self.accept(found)
        return found

    async def is_quiet(self) -> bool:
        """Whether nothing has been sent, told by an answer that comes after it (aggregated only).

        Requests of a stream are answered in turn, so nothing has to be waited for.
        """
        marks = tuple(_MARKS.resources)[: len(self._names.get(_MARK, ())) + 1]
        nonce = self._nonces.get(_MARK, "")
        await self.ask(_MARK, *marks, response_nonce=nonce)
        return bool((await self.answer()).type_url == _MARK)


@dataclass
class Stage:
    """A server whose resources a test sets as it likes."""

    hub: Hub
    server: XdsServer
    client: Caller
    port: int
    drain_s: float = 60.0
    _talks: list[Talk] = field(default_factory=list)

    async def put(self, **names: str) -> None:
        """Serve these to node ``n``, as `tests.delivery.xds.streams.snapshot` reads them."""
        await self.put_for(n=names)

    async def put_for(self, **nodes: Mapping[str, str]) -> None:
        """Serve something to each of several nodes, and to no other."""
        found = {}
        for node, names in nodes.items():
            made = snapshot(**names)
            types = {**made.types, _MARK: _MARKS}
            found[node] = replace(made, node=node, types=types, drain_s=self.drain_s)
        await self.hub.switch(_Shelf(found))

    def talk(
        self,
        node: str = "n",
        *,
        is_delta: bool = False,
        only: TypeUrl | None = None,
        client: Caller | None = None,
    ) -> Talk:
        """Open a stream, of one type or an aggregated one."""
        method = f"{ADS}/AggregatedResources" if only is None else SINGLE[only]
        call = (client or self.client).stream(node, is_delta=is_delta, method=method)
        self._talks.append(Talk(call, is_delta))
        return self._talks[-1]

    def end(self) -> None:
        """End all streams."""
        for talk in self._talks:
            talk.call.cancel()


@contextlib.asynccontextmanager
async def _staged(limits: Limits) -> AsyncIterator[Stage]:
    hub, port = Hub(), free_port()
    server = XdsServer([Discovery(hub, OpenGate(), limits)], limits)
    sock = listening(address(f"127.0.0.1:{port}"), is_shared=True)
    await server.listen(sock, None, handshake_s=limits.handshake)
    try:
        async with caller(port, options={"grpc.max_receive_message_length": -1}) as client:
            found = Stage(hub, server, client, port)
            try:
                yield found
            finally:
                found.end()
    finally:
        server.close()
        server.connections.close_where(lambda _peer: True)
        await server.wait_closed()
        await until(lambda: not server.connections.open)


def play(scene: Callable[[Stage], Awaitable[None]], **names: str) -> None:
    """Run a scene, which begins with these resources on the server."""
    play_within(Limits(), scene, **names)


def play_within(limits: Limits, scene: Callable[[Stage], Awaitable[None]], /, **names: str) -> None:
    """Run a scene on a server with other limits."""

    async def run() -> None:
        async with _staged(limits) as stage:
            await stage.put(**names)
            await scene(stage)

    asyncio.run(run())
