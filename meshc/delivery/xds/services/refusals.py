"""What clients refuse at present: which resource, and which line of which spec is behind it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from meshc.artifact.manifest import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshc.delivery.xds.protocol.subscription import Subscription
    from meshc.delivery.xds.protocol.types import TypeUrl
    from meshc.delivery.xds.services.hub import Hub

MAX_REASON = 1024
_NAMES = re.compile(r"(?:inbound|outbound|tracing)/[A-Za-z0-9_@-]{1,200}")
_MOST_NAMED, _MOST_SHOWN = 20, 3
MOST_COUNTED = 100
"""Resources that are told apart in metrics."""


@dataclass(frozen=True, slots=True)
class Named:
    """A resource, and the ``file:line:column`` behind it, "" if unknown."""

    resource: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One type that one client refused.

    Reasons are looked through when somebody wants to know: of thousands that stay refused that
    is once each, and not once a second.
    """

    node: str
    type_url: TypeUrl
    version: str
    reason: str
    known: Subscription
    origins: Mapping[str, Any]

    @property
    def resources(self) -> tuple[Named, ...]:
        """Those that the client complains about, or the only one that it was sent."""
        parked = self.known.refused
        names = _named(self.reason) or (parked if len(parked) == 1 else ())
        return tuple(Named(name, place_of(self.origins, self.node, name)) for name in names)

    @property
    def resource(self) -> str:
        """Names of resources, the first ones of many, "" if the client names none."""
        return ", ".join(one.resource for one in self.resources[:_MOST_SHOWN])

    @property
    def place(self) -> str:
        """The lines behind these."""
        places = (one.place for one in self.resources[:_MOST_SHOWN] if one.place)
        return ", ".join(dict.fromkeys(places))


def refusals(hub: Hub) -> Iterator[Refused]:
    """Yield what connected clients refuse."""
    for one in hub:
        for type_url, known in one.state.subscriptions.items():
            found = refusal(one.node, type_url, known, hub)
            if found is not None:
                yield found


def refusal(node: str, type_url: TypeUrl, known: Subscription, hub: Hub) -> Refused | None:
    """Return what a client refuses of a type, None where that is nothing."""
    if known.refusal is None:
        return None
    return Refused(
        node=node,
        type_url=type_url,
        version=known.refused_version,
        reason=known.refusal[:MAX_REASON],
        known=known,
        origins=origins(hub, node),
    )


def _named(reason: str) -> tuple[str, ...]:
    """Return the names of resources that a client complains about."""
    names = (found[0] for found in _NAMES.finditer(reason))
    return tuple(islice(dict.fromkeys(names), _MOST_NAMED))


def origins(hub: Hub, node: str) -> Mapping[str, Any]:
    """Return what `place_of` reads about a node."""
    return {} if hub.bundles is None else hub.bundles.origins(node)


def place_of(origins: Mapping[str, Any], node: str, resource: str) -> str:
    """Return the spec line behind a resource, "" if unknown."""
    return (resource and origin_of(origins, node, resource)) or ""


def counted(hub: Hub) -> list[tuple[TypeUrl, str, str, int]]:
    """Count clients by type, resource and place of what they refuse, the most frequent ones first.

    Clients say what they like: resources that no spec is behind count as "", so that there are
    never more of them than there are specs.
    """
    counts: Counter[tuple[TypeUrl, str, str]] = Counter()
    for one in refusals(hub):
        keys = {(named.resource, named.place) for named in one.resources if named.place}
        for resource, place in keys or {("", "")}:
            counts[one.type_url, resource, place] += 1
    found = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(*key, number) for key, number in found[:MOST_COUNTED]]
