"""Who is connected for which node, and the bundle that they are served from.

A switch to a new bundle is one step for a stream: every response after it is of the new
generation, of all types.  Streams of other nodes, and clients that read slowly, wait for nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from meshc.delivery.xds.transport.strangers import Strangers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from meshc.delivery.xds.content.rewrite import Variant
    from meshc.delivery.xds.protocol.snapshot import Snapshot
    from meshc.delivery.xds.protocol.types import TypeUrl
    from meshc.delivery.xds.services.connected import Connected

_AT_ONCE = 64
"""Streams that are served before others, such as new clients, get a turn."""


class Bundles(Protocol):
    """One generation of a bundle, or of as many nodes of it as anybody asked for.

    ``is_remote``: reading may take long, so that it must not hold everybody else up.
    """

    is_remote: bool

    def snapshot(self, node: str, variant: Variant) -> Snapshot:
        """Return a node's resources; the same object as long as nothing of it changes.

        Raises:
            UnknownNameError: the bundle has no such node.
            BundleError: its files are not what the manifest names.
        """

    def documents(
        self, node: str, type_url: TypeUrl, names: frozenset[str], known: str
    ) -> tuple[str, list[Any]]:
        """Return version and resources of a type as JSON; none where the version is known."""

    def origins(self, node: str) -> Mapping[str, Any]:
        """Return where in the specs the resources of a node come from, without reading anything."""


@dataclass(slots=True)
class Counts:
    """What was sent and refused so far, by type."""

    responses: Counter[TypeUrl] = field(default_factory=Counter)
    refusals: Counter[TypeUrl] = field(default_factory=Counter)

    def add(self, one: Connected) -> None:
        """Add what a stream has seen."""
        for type_url, known in one.state.subscriptions.items():
            if known.responses:
                self.responses[type_url] += known.responses
            if known.refusals:
                self.refusals[type_url] += known.refusals


class Hub:
    """Connected streams by node."""

    def __init__(self) -> None:
        self.bundles: Bundles | None = None
        """None: nothing is loaded so far, so nobody is served."""
        self.strangers = Strangers()
        self._streams: dict[str, set[Connected]] = defaultdict(set)
        self._gone = Counts()
        """Of streams that have ended."""

    def __iter__(self) -> Iterator[Connected]:
        for streams in list(self._streams.values()):
            yield from list(streams)

    def __len__(self) -> int:
        return sum(map(len, self._streams.values()))

    def nodes(self) -> Collection[str]:
        """Nodes that somebody is connected for."""
        return self._streams.keys()

    def join(self, one: Connected) -> None:
        """Take a stream in, as soon as it has said which node it is of."""
        self._streams[one.node].add(one)

    def leave(self, one: Connected) -> None:
        """Forget a stream."""
        streams = self._streams.get(one.node)
        if streams is not None:
            if one in streams:
                streams.discard(one)
                self._gone.add(one)
            if not streams:
                del self._streams[one.node]

    def counts(self) -> Counts:
        """Return what was sent and refused on all streams, also on those that have ended."""
        found = Counts(self._gone.responses.copy(), self._gone.refusals.copy())
        for one in self:
            found.add(one)
        return found

    async def switch(self, bundles: Bundles, nodes: Collection[str] | None = None) -> int:
        """Serve from another bundle; return how many streams it concerned.

        ``nodes`` are those with changes, where that is known: nobody else is woken.
        """
        self.bundles = bundles
        concerned = [
            one for one in self if (nodes is None or one.node in nodes) and not one.is_closed
        ]
        for number, one in enumerate(concerned):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            if self.bundles is not bundles:
                break  # a newer one has come meanwhile, and its switch serves everybody
            one.publish(bundles, time.monotonic())
        return len(concerned)
