"""What a client wants of one type, what it has, and what it refused.  Pure.

A response is outstanding until the client has answered it, and while one is, nothing more is
sent: whatever happens meanwhile is in the next one, so a slow client costs one response.  What a
client refused is parked and not sent again before it changes; and since a refusal may have been a
partial one, nobody knows what the client has of it, so going back to what it had before is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshc.delivery.xds.protocol.snapshot import version_of
from meshc.delivery.xds.protocol.types import WHOLE_STATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshc.delivery.xds.protocol.snapshot import Encoded, TypeSet
    from meshc.delivery.xds.protocol.types import TypeUrl
    from meshc.delivery.xds.protocol.wire import DeltaRequest, Request

WILDCARD = "*"
UNKNOWN = ""
"""Version of a resource that the client has in some version or other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """What goes into one response."""

    version: str
    resources: tuple[Encoded, ...]
    removed: tuple[str, ...] = ()


@dataclass(slots=True)
class Interest:
    """The names that a client asked for, or everything."""

    names: set[str] = field(default_factory=set)
    is_wildcard: bool = False

    def select(self, available: TypeSet) -> Mapping[str, Encoded]:
        """Return what there is of what is wanted."""
        if self.is_wildcard:
            return available.resources
        found = available.resources
        return {name: found[name] for name in sorted(self.names) if name in found}

    def wants(self, name: str) -> bool:
        """Whether a resource of this name is asked for."""
        return self.is_wildcard or name in self.names


@dataclass(slots=True, kw_only=True)
class Subscription:
    """One type on one stream: common to both variants of the protocol."""

    type_url: TypeUrl
    allows_legacy_wildcard: bool = True
    """Whether a first request without names asks for everything."""
    interest: Interest = field(default_factory=Interest)
    nonce: str = ""
    is_outstanding: bool = False
    sent_version: str = ""
    acknowledged_version: str = ""
    refusal: str | None = None
    """The client's reason, as long as what it refused is what it should have."""
    refused_version: str = ""
    responses: int = 0
    refusals: int = 0
    """How many there were so far."""
    has: dict[str, str] = field(default_factory=dict)
    """What the client has: name → version."""
    forced: set[str] = field(default_factory=set)
    """What is sent even though the client has it."""
    _parked: dict[str, str] = field(default_factory=dict)
    _in_flight: Send | None = None

    def sent(self, nonce: str, what: Send) -> None:
        """Take note of a response that goes out under ``nonce``."""
        self.nonce = nonce
        self.is_outstanding = True
        self.responses += 1
        self.sent_version = what.version
        self._in_flight = what
        self.forced.difference_update(one.name for one in what.resources)

    def force(self, names: Iterable[str]) -> None:
        """Send these again although the client has them, or is about to."""
        self.forced.update(name for name in names if self.interest.wants(name))

    @property
    def refused(self) -> frozenset[str]:
        """Names of resources that the client has refused as they are."""
        return frozenset(self._parked)

    def is_current(self, one: Encoded) -> bool:
        """Whether the client has a resource as it should be, or refused it."""
        return one.name not in self.forced and (
            self.has.get(one.name) == one.version or self._parked.get(one.name) == one.version
        )

    def _answered(self, error: str | None) -> None:
        what, self._in_flight = self._in_flight, None
        self.is_outstanding = False
        if what is None:
            return
        for name in what.removed:
            self.has.pop(name, None)
            self._parked.pop(name, None)  # what comes back after that is a change
        # A client of delta may have dropped some while the answer was on its way.
        wanted = [one for one in what.resources if self.interest.wants(one.name)]
        if error is None:
            self.has.update((one.name, one.version) for one in wanted)
            self.acknowledged_version = what.version
            self.refusal, self.refused_version = None, ""
            for one in what.resources:
                self._parked.pop(one.name, None)
        else:
            self.refusals += 1
            self.refusal, self.refused_version = error, what.version
            self._parked.update((one.name, one.version) for one in wanted)
            self.has.update((one.name, UNKNOWN) for one in wanted)

    def _forget_refusal(self, selected: Mapping[str, Encoded]) -> None:
        """Forget a refusal of what the client is no longer to have."""
        if self.refusal is not None and not any(
            self._parked.get(one.name) == one.version for one in selected.values()
        ):
            self.refusal, self.refused_version = None, ""

    def _news(self, selected: Mapping[str, Encoded]) -> tuple[Encoded, ...]:
        """Return what the client lacks of what was selected."""
        return tuple(one for one in selected.values() if not self.is_current(one))


@dataclass(slots=True, kw_only=True)
class WholeSubscription(Subscription):
    """State of the world: the client names all that it wants in every request."""

    _has_named: bool = False
    _is_first: bool = True
    _claimed: str = ""
    _is_owed: bool = False
    """Whether the client waits for an answer though nothing has changed."""
    _whole_parked: str = ""

    def take(self, request: Request) -> bool:
        """Take a request in; False where it answers a response that is not the last one."""
        if self.nonce and request.nonce != self.nonce:
            return False
        if self.is_outstanding:
            version = self.sent_version
            if request.error is None and self.type_url in WHOLE_STATE:
                self.has.clear()  # what the answer does not hold is gone
            self._answered(request.error)
            # Once something else was accepted in between, the same is a change, and may succeed.
            self._whole_parked = "" if request.error is None else version
        before = Interest(set(self.interest.names), self.interest.is_wildcard)
        self._subscribe(request.names)
        if before != self.interest:
            # What is no longer wanted is forgotten by the client, and comes anew when it is.
            self.has = {name: at for name, at in self.has.items() if self.interest.wants(name)}
        for name in self.interest.names - before.names:
            self._parked.pop(name, None)  # asked for anew, so it may try again
        if self._is_first:
            self._is_first = False
            self._claimed = request.version
            self._is_owed = True
        elif not before.is_wildcard and (
            self.interest.is_wildcard or self.interest.names - before.names
        ):
            self._is_owed = True
        return True

    def _subscribe(self, names: Iterable[str]) -> None:
        wanted = set(names)
        if wanted:
            self._has_named = True
        is_legacy = not wanted and not self._has_named and self.allows_legacy_wildcard
        self.interest.is_wildcard = is_legacy or WILDCARD in wanted
        self.interest.names = wanted - {WILDCARD}

    def next(self, available: TypeSet) -> Send | None:
        """Return what has to be sent now."""
        if self.is_outstanding:
            return None
        if not (self.interest.is_wildcard or self.interest.names):
            self._forget_refusal({})
            return None
        selected = self.interest.select(available)
        version = available.version if self.interest.is_wildcard else version_of(selected.values())
        if self._claimed:
            claimed, self._claimed = self._claimed, ""
            if claimed == version:
                # From an earlier stream, perhaps of another replica: the same digest is the same.
                self.acknowledged_version = self.sent_version = version
                self.has.update((one.name, one.version) for one in selected.values())
                self._is_owed = False
        if version != self._whole_parked:
            self._forget_refusal(selected)
        if self.type_url in WHOLE_STATE:
            return self._next_whole(selected, version)
        self._is_owed = False
        news = self._news(selected)
        return Send(version=version, resources=news) if news else None

    def _next_whole(self, selected: Mapping[str, Encoded], version: str) -> Send | None:
        is_owed = self._is_owed and (
            self.interest.is_wildcard
            or not self.sent_version  # nothing is an answer too, and spares the client its timeout
            or any(name not in self.has for name in selected)
        )
        self._is_owed = False
        has = {name: at for name, at in self.has.items() if self.interest.wants(name)}
        is_right = has == {one.name: one.version for one in selected.values()}
        if version == self._whole_parked or (is_right and not is_owed):
            return None
        return Send(version=version, resources=tuple(selected.values()))


@dataclass(slots=True, kw_only=True)
class DeltaSubscription(Subscription):
    """Delta: the client says what it wants more or less of."""

    _is_first: bool = True
    _is_owed: bool = False
    _is_back: bool = False
    """Whether the client brings what it has from an earlier stream, and nobody compared yet."""
    _gone: set[str] = field(default_factory=set)

    def take(self, request: DeltaRequest) -> bool:
        """Take a request in; False where it answers a response that is not the last one.

        What it asks for counts in any case.
        """
        is_first, self._is_first = self._is_first, False
        is_stale = bool(request.nonce) and request.nonce != self.nonce and not is_first
        if request.nonce and not is_stale and self.is_outstanding:
            self._answered(request.error)
        if is_first:
            self.has.update(request.known)
            if not request.subscribe and self.allows_legacy_wildcard:
                self.interest.is_wildcard = True
            self._is_owed = True
        self._subscribe(request, is_first=is_first)
        if is_first and request.known:
            # Who has been answered before waits for nothing: it is not even told that all is well.
            self._is_back, self._is_owed = True, False
        self._unsubscribe(request)
        return not is_stale

    def _subscribe(self, request: DeltaRequest, *, is_first: bool) -> None:
        # The client may have read the response that it has not answered, and dropped what it held.
        sent = () if self._in_flight is None else self._in_flight.resources
        on_its_way = {one.name for one in sent} if request.subscribe else set()
        for name in request.subscribe:
            if name == WILDCARD:
                self.interest.is_wildcard = True
                self._is_owed = True
                continue
            self._parked.pop(name, None)  # asked for anew, so it may try again
            self.interest.names.add(name)
            self._gone.discard(name)
            if not is_first and (name in self.has or name in on_its_way):
                self.forced.add(name)

    def _unsubscribe(self, request: DeltaRequest) -> None:
        for name in request.unsubscribe:
            if name == WILDCARD:
                self.interest.is_wildcard = False
                self.has = {one: at for one, at in self.has.items() if one in self.interest.names}
            elif name in self.interest.names:
                self.interest.names.discard(name)
                self.has.pop(name, None)
                self._parked.pop(name, None)
                if self.interest.is_wildcard:
                    self._gone.add(name)
        self.forced = {name for name in self.forced if self.interest.wants(name)}

    def next(self, available: TypeSet) -> Send | None:
        """Return what has to be sent now."""
        if self.is_outstanding:
            return None
        selected = self.interest.select(available)
        self._forget_refusal(selected)
        news = self._news(selected)
        removed = {name for name in self.has if name not in selected}
        removed |= {name for name in self._gone if name not in selected}
        self._gone.clear()
        is_owed, self._is_owed = self._is_owed and self.interest.is_wildcard, False
        is_back, self._is_back = self._is_back, False
        if is_back and not (news or removed):
            self.acknowledged_version = self.sent_version = available.version
        if not (news or removed or is_owed):
            return None
        return Send(version=available.version, resources=news, removed=tuple(sorted(removed)))
