"""Many clients that come back whenever their stream ends, as Envoys do, with what they have."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, TypeUrl
from tests.delivery.xds.served import Caller
from tests.delivery.xds.streams import message_class

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

_STREAMS_PER_CHANNEL = 30
_PAUSE_S = 0.05
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass
class Follower:
    """One client: subscribes to four types, acknowledges everything, remembers it."""

    node: str
    is_delta: bool
    names: Mapping[TypeUrl, Sequence[str]]
    versions: dict[str, str] = field(default_factory=dict)
    """State of the world: type → version."""
    has: dict[str, dict[str, str]] = field(default_factory=dict)
    """Delta: type → name → version."""
    endpoints: dict[str, bytes] = field(default_factory=dict)
    """Name → body of the endpoints it was sent last."""
    responses: list[tuple[TypeUrl, int, int]] = field(default_factory=list)
    """Of each response: the type, how many resources, how many removed."""
    attempts: int = 0

    async def follow(self, caller: Caller) -> None:
        """Go on for ever."""
        while True:
            self.attempts += 1
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await self._once(caller)
            await asyncio.sleep(_PAUSE_S)

    async def _once(self, caller: Caller) -> None:
        call = caller.stream(self.node, is_delta=self.is_delta)
        try:
            for type_url, names in self.names.items():
                await call.ask(type_url, **self._first(type_url, names))
            while (response := await call._call.read()) is not grpc.aio.EOF:
                self._take(response)
                kept = {} if self.is_delta else {"resource_names": self._names(response.type_url)}
                await call.acknowledge(response, **kept)
        finally:
            call.cancel()

    def _names(self, type_url: str) -> Sequence[str]:
        return self.names[TypeUrl(type_url)]

    def _first(self, type_url: str, names: Sequence[str]) -> dict[str, Any]:
        if self.is_delta:
            known = self.has.get(type_url, {})
            return {"resource_names_subscribe": names, "initial_resource_versions": known}
        return {"resource_names": names, "version_info": self.versions.get(type_url, "")}

    def _take(self, response: Any) -> None:
        removed = list(response.removed_resources) if self.is_delta else []
        self.responses.append((TypeUrl(response.type_url), len(response.resources), len(removed)))
        bodies = [one.resource if self.is_delta else one for one in response.resources]
        if response.type_url == ENDPOINT:
            self.endpoints.update((_first_text(one.value), one.value) for one in bodies)
        if self.is_delta:
            has = self.has.setdefault(response.type_url, {})
            has.update((one.name, one.version) for one in response.resources)
        else:
            self.versions[response.type_url] = response.version_info


def _first_text(body: bytes) -> str:
    """The first field of a message, which is the name; a tag and a length stand before it."""
    return body[2 : 2 + body[1]].decode()


@contextlib.asynccontextmanager
async def crowd(
    port: int, nodes: Sequence[str], dependencies: Mapping[str, str], *, streams: int
) -> AsyncIterator[list[Follower]]:
    """Follow a server with so many streams, delta and not in turn, until the block ends.

    ``dependencies`` are names of endpoints and of their route configurations.
    """
    message_class("DiscoveryRequest")
    names = {CLUSTER: [], ENDPOINT: list(dependencies), LISTENER: [], ROUTE: []}
    names[ROUTE] = list(dependencies.values())
    followers = [
        Follower(nodes[number % len(nodes)], number % 2 == 1, names) for number in range(streams)
    ]
    channels = [
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS)
        for _ in range(0, streams, _STREAMS_PER_CHANNEL)
    ]
    tasks = [
        asyncio.create_task(one.follow(Caller(channels[number // _STREAMS_PER_CHANNEL])))
        for number, one in enumerate(followers)
    ]
    try:
        yield followers
        broken = [task.exception() for task in tasks if task.done()]
        assert broken == []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in channels:
            await channel.close()
