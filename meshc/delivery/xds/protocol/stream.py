"""One stream of a client: requests and snapshots in, responses out.  Pure; time is given.

On an aggregated stream nothing is referred to before it is there and nothing is taken away while
it may be in use: clusters old and new together, then endpoints, then listeners, then routes; what
is left over goes when the client has taken the listeners and routes that no longer use it, and
their connections have had the time to end.  On streams of one type nobody can be asked, so what
is left over simply stays for that time.

Endpoints follow their clusters without an answer to these: an Envoy gives it when they have warmed,
and they warm when they have endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from meshc.delivery.xds.protocol.snapshot import EMPTY, TypeSet
from meshc.delivery.xds.protocol.subscription import (
    UNKNOWN,
    DeltaSubscription,
    Send,
    WholeSubscription,
)
from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT, LISTENER, ORDER, ROUTE, TypeUrl
from meshc.delivery.xds.protocol.wire import DeltaRequest, Request, delta_response, response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.delivery.xds.protocol.snapshot import Encoded, Snapshot
    from meshc.delivery.xds.protocol.subscription import Subscription

_PATIENCE_S = 5.0
"""A client that does not answer, or never asks for endpoints, holds up itself for so long."""
_GRACE_S = 5.0
"""Beyond the drain time: a request that is under way when it ends has its cluster to the last."""
_KEPT_TYPES = (CLUSTER, ENDPOINT, ROUTE)


class ProtocolError(Exception):
    """A request that breaks the protocol; it ends the stream as `INVALID_ARGUMENT`."""


@dataclass(slots=True)
class _Kept:
    """A resource that is no longer wanted and may still be in use."""

    resource: Encoded | None
    """None: the client has it from an earlier stream, and only its name is known."""
    release_at: float | None = None
    """None: the client has not taken what no longer uses it."""


@dataclass(slots=True, kw_only=True)
class Stream:
    """State of one stream.

    ``only`` is the type of a stream that is not aggregated; with ``has_legacy_wildcard`` a first
    request without names asks for everything, which gRPC's own client never means.
    """

    snapshot: Snapshot
    is_delta: bool
    only: TypeUrl | None = None
    has_legacy_wildcard: bool = True
    subscriptions: dict[TypeUrl, Subscription] = field(default_factory=dict)
    _kept: dict[TypeUrl, dict[str, _Kept]] = field(default_factory=dict)
    _views: dict[TypeUrl, TypeSet] = field(default_factory=dict)
    _last_nonce: int = 0
    _sent_at: dict[TypeUrl, float] = field(default_factory=dict)
    _rebuilt: set[str] = field(default_factory=set)
    """Endpoints of clusters that were sent before the client asked for any endpoints."""
    _clusters_sent: str = ""
    """Version of the clusters that were sent last, answered or not."""
    _clusters_at: float = 0.0
    _began_at: float = 0.0
    _looked_at: float = 0.0
    """When it was seen last what is due."""

    @property
    def responses(self) -> int:
        """How many responses were sent."""
        return self._last_nonce

    @property
    def remembered(self) -> int:
        """How many names the client asks for or has, of all types."""
        return sum(len(one.interest.names) + len(one.has) for one in self.subscriptions.values())

    @property
    def is_settled(self) -> bool:
        """Whether the client runs all that it asked for as it should be, and refused nothing."""
        return all(
            not known.is_outstanding
            and known.refusal is None
            and all(
                known.is_current(one)
                for one in known.interest.select(self.snapshot.of(type_url)).values()
            )
            for type_url, known in self.subscriptions.items()
        )

    def request(self, request: Request | DeltaRequest, now: float) -> list[bytes]:
        """Take a request; return the responses that are due.

        Raises:
            ProtocolError: it has no type, or one that this stream is not for.
        """
        type_url = self._type_of(request)
        if not self.subscriptions:
            self._began_at = now
        is_first = type_url not in self.subscriptions
        subscription = self._subscription(type_url)
        was_outstanding = subscription.is_outstanding
        if isinstance(request, DeltaRequest):
            assert isinstance(subscription, DeltaSubscription)  # noqa: S101, one variant a stream
            is_timely = subscription.take(request)
        else:
            assert isinstance(subscription, WholeSubscription)  # noqa: S101, the same
            is_timely = subscription.take(request)
        if not is_timely and not self.is_delta:
            return []
        if is_first:
            self._come_back(type_url, subscription)
        if type_url == CLUSTER and was_outstanding and not subscription.is_outstanding:
            self._clusters_at = now
        return self._due(now)

    def publish(self, snapshot: Snapshot, now: float) -> list[bytes]:
        """Take a new snapshot; return the responses that are due."""
        old, self.snapshot = self.snapshot, snapshot
        if CLUSTER in self.subscriptions:
            for type_url in _KEPT_TYPES:
                self._keep(type_url, old)
        self._views.clear()
        return self._due(now)

    def tick(self, now: float) -> list[bytes]:
        """Return the responses that have become due by themselves."""
        return self._due(now)

    def wake_at(self) -> float | None:
        """When to call `tick` at the latest, if at all.

        That may be in the past: what came due after the last look was not looked at.
        """
        times = [
            one.release_at
            for kept in self._kept.values()
            for one in kept.values()
            if one.release_at is not None
        ]
        if self.only is None:
            times += [
                self._sent_at[type_url] + _PATIENCE_S
                for type_url, subscription in self.subscriptions.items()
                if subscription.is_outstanding
            ]
            times += [self._clusters_at + _PATIENCE_S, self._began_at + _PATIENCE_S]
        return min((at for at in times if at > self._looked_at), default=None)

    def _type_of(self, request: Request | DeltaRequest) -> TypeUrl:
        type_url = TypeUrl(request.type_url)
        if self.only is None:
            if not type_url:
                raise ProtocolError("type URL is required for aggregated streams")
            return type_url
        if type_url and type_url != self.only:
            raise ProtocolError(f'this stream is for "{self.only}", not "{type_url[:200]}"')
        return self.only

    def _subscription(self, type_url: TypeUrl) -> Subscription:
        found = self.subscriptions.get(type_url)
        if found is None:
            kind = DeltaSubscription if self.is_delta else WholeSubscription
            found = kind(type_url=type_url, allows_legacy_wildcard=self.has_legacy_wildcard)
            self.subscriptions[type_url] = found
        return found

    def _come_back(self, type_url: TypeUrl, subscription: Subscription) -> None:
        """Take what a client may have from an earlier stream into account."""
        if type_url == ENDPOINT:
            subscription.force(self._rebuilt)
            self._rebuilt.clear()
        if type_url in _KEPT_TYPES:
            for name in subscription.has.keys() - self._view(type_url).resources.keys():
                del subscription.has[name]
                self._kept.setdefault(type_url, {})[name] = _Kept(None)

    def _keep(self, type_url: TypeUrl, old: Snapshot) -> None:
        wanted = self.snapshot.of(type_url).resources
        kept = self._kept.setdefault(type_url, {})
        for name in wanted.keys() & kept.keys():
            del kept[name]
        for name, resource in old.of(type_url).resources.items():
            if name not in wanted:
                kept[name] = _Kept(resource)

    def _view(self, type_url: TypeUrl) -> TypeSet:
        """Return what the client should have for now: what it needs, and what it may still use."""
        found = self._views.get(type_url)
        if found is None:
            kept = self._kept.get(type_url, {})
            left = {name: one.resource for name, one in kept.items() if one.resource is not None}
            found = self.snapshot.of(type_url).joined(left)
            self._views[type_url] = found
        return found

    def _due(self, now: float) -> list[bytes]:
        self._looked_at = now
        sent = list(self._responses(now))
        if self._release(now):
            sent += self._responses(now)
        return sent

    def _responses(self, now: float) -> Iterator[bytes]:
        for type_url in self._order():
            if self._may_send(type_url, now):
                subscription = self.subscriptions[type_url]
                assert isinstance(subscription, WholeSubscription | DeltaSubscription)  # noqa: S101
                what = subscription.next(self._view(type_url))
                if what is not None:
                    yield self._send(subscription, what, now)

    def _order(self) -> list[TypeUrl]:
        known = [type_url for type_url in ORDER if type_url in self.subscriptions]
        return known + [type_url for type_url in self.subscriptions if type_url not in ORDER]

    def _send(self, subscription: Subscription, what: Send, now: float) -> bytes:
        self._last_nonce += 1
        nonce = str(self._last_nonce)
        if subscription.type_url == CLUSTER:
            self._clusters_sent = self._view(CLUSTER).version
            # An Envoy builds these anew and waits for endpoints, which it may not ask for again.
            rebuilt = {
                one.endpoints
                for one in what.resources
                if one.endpoints is not None and not subscription.is_current(one)
            }
            if (endpoints := self.subscriptions.get(ENDPOINT)) is not None:
                endpoints.force(rebuilt)
            else:
                self._rebuilt |= rebuilt
        subscription.sent(nonce, what)
        self._sent_at[subscription.type_url] = now
        if self.is_delta:
            return delta_response(
                type_url=subscription.type_url,
                version=what.version,
                nonce=nonce,
                resources=chain.from_iterable(one.delta for one in what.resources),
                removed=what.removed,
            )
        return response(
            type_url=subscription.type_url,
            version=what.version,
            nonce=nonce,
            resources=chain.from_iterable(one.whole for one in what.resources),
        )

    def _may_send(self, type_url: TypeUrl, now: float) -> bool:
        if self.only is not None:
            return True
        if type_url == ENDPOINT:
            is_sent = self._clusters_sent == self._view(CLUSTER).version
            return is_sent or self._is_answered(CLUSTER, now)
        if type_url == LISTENER:
            return self._are_clusters_ready(now)
        if type_url == ROUTE:
            return self._are_clusters_ready(now) and self._is_answered(LISTENER, now)
        return True

    def _is_answered(self, type_url: TypeUrl, now: float) -> bool:
        subscription = self.subscriptions.get(type_url)
        if subscription is None or not subscription.is_outstanding:
            return True
        return now >= self._sent_at[type_url] + _PATIENCE_S

    def _are_clusters_ready(self, now: float) -> bool:
        """Whether the client has all clusters and their endpoints, so that none is warming."""
        clusters = self.subscriptions.get(CLUSTER)
        if clusters is None:
            return True  # a client that starts with listeners, as gRPC's own does
        if not self._is_answered(CLUSTER, now) or not self._is_answered(ENDPOINT, now):
            return False
        if now >= self._clusters_at + _PATIENCE_S:
            return True
        endpoints = self._view(ENDPOINT).resources
        waited_for = {
            one.endpoints
            for one in clusters.interest.select(self._view(CLUSTER)).values()
            if one.endpoints in endpoints
        }
        subscription = self.subscriptions.get(ENDPOINT)
        return not waited_for or (
            subscription is not None
            and all(subscription.is_current(endpoints[name]) for name in waited_for if name)
        )

    def _release(self, now: float) -> bool:
        """Let go of what nobody uses any more; return whether there was something."""
        if not any(self._kept.values()):
            return False
        is_taken = self._is_taken(LISTENER, now) and self._is_taken(ROUTE, now)
        has_released = False
        for type_url, kept in self._kept.items():
            for name, one in list(kept.items()):
                if one.release_at is None:
                    if is_taken:
                        one.release_at = now + self.snapshot.drain_s + _GRACE_S
                elif one.release_at <= now:
                    del kept[name]
                    self._views.pop(type_url, None)
                    if one.resource is None:
                        self._take_away(self.subscriptions[type_url], name)
                    has_released = True
        return has_released

    def _take_away(self, subscription: Subscription, name: str) -> None:
        """Remember again that a client has what it came back with, which nobody wants."""
        if subscription.interest.wants(name):
            subscription.has[name] = UNKNOWN

    def _is_taken(self, type_url: TypeUrl, now: float) -> bool:
        """Whether the client runs what it should of a type, as far as it wants any."""
        subscription = self.subscriptions.get(type_url)
        if self.only is not None:
            return True
        if subscription is None:
            return now >= self._began_at + _PATIENCE_S  # before that it may be about to ask
        if subscription.is_outstanding or subscription.refusal is not None:
            return False
        wanted = subscription.interest.select(self.snapshot.types.get(type_url, EMPTY))
        return all(subscription.is_current(one) for one in wanted.values())
