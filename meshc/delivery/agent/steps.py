"""In which order files replace each other; pure, so that every order can be tested without Envoy.

Additions go from the referred to the referring: endpoint and route files that are new, clusters
(old ones stay), changed endpoints, changed routes, listeners.  Removals go the other way: clusters
are dropped after the listeners that used them have drained, files after the clusters.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.artifact.layout import BOOTSTRAP, CDS, LDS, NODE_FILES
from meshc.delivery.agent.configuration import address_of, texts_in

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from meshc.delivery.agent.configuration import Configuration, Resources, Subscription

_VERSION_LENGTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Replace a file and wait until every subscription to it has said the version.

    Without subscriptions nobody watches the file yet, and there is nothing to wait for.
    """

    path: str
    data: bytes
    subscriptions: tuple[Subscription, ...] = ()
    does: str


@dataclass(frozen=True, slots=True)
class AwaitWarm:
    """Wait until new clusters and listeners are in use; Envoy reports success before that."""


@dataclass(frozen=True, slots=True)
class AwaitDrain:
    """Wait until replaced listeners are gone; until then they may send requests to ``clusters``."""

    clusters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file that nobody refers to any more."""

    path: str


Step = Put | AwaitWarm | AwaitDrain | Remove


def plan_steps(
    old: Configuration,
    new: Configuration,
    *,
    stale: Collection[str] = (),
    is_draining: bool = False,
    running: Mapping[str, Collection[str]] | None = None,
) -> tuple[Step, ...]:
    """Return the steps from one set of files to another; none where nothing differs.

    Args:
        old: What lies on disk.
        new: What shall lie there.
        stale: Files that Envoy does not run although they lie on disk, such as after a delivery
            that was killed.  They are put again even if their bytes stay the same.
        is_draining: Listeners of an earlier change are draining, and nobody knows any more which
            clusters they use.  The same holds where listeners on disk are stale: those that
            Envoy runs are not known, and will drain.
        running: The listeners that Envoy has, with their addresses, where those on disk are stale.
    """
    return _Planner(old, new, stale, is_draining=is_draining, running=running).plan()


class _Planner:
    """Collects the steps; what Envoy runs in between is `old` with what has been put so far."""

    def __init__(
        self,
        old: Configuration,
        new: Configuration,
        stale: Collection[str],
        *,
        is_draining: bool,
        running: Mapping[str, Collection[str]] | None,
    ) -> None:
        self.old = old
        self.new = new
        self.stale = stale
        self.is_draining = is_draining
        self.running = running
        self.changed = {
            path for path, data in new.files.items() if old.files.get(path) != data or path in stale
        }
        self.pruned = tuple(name for name in old.clusters if name not in new.clusters)
        self.steps: list[Step] = []

    def plan(self) -> tuple[Step, ...]:
        routes = self._followed_routes()
        watched = self.old.watchers(self.old.clusters, self.old.listeners) | routes
        self._shared(self.changed - set(watched) - set(NODE_FILES), "not watched yet")
        widened = self._widen_clusters()
        endpoints = self.new.endpoint_watchers(widened)
        rest = (self.changed & set(watched)) - set(NODE_FILES)
        self._shared(rest & set(endpoints), "endpoints", endpoints)
        self._shared(rest - set(endpoints), "routes", routes)
        self._listeners()
        if BOOTSTRAP in self.changed:
            self._put(BOOTSTRAP, self.new.files[BOOTSTRAP], "read at the next start of Envoy")
        self._prune_clusters()
        self.steps += [Remove(path) for path in sorted(set(self.old.files) - set(self.new.files))]
        return tuple(self.steps)

    def _followed_routes(self) -> dict[str, tuple[Subscription, ...]]:
        """Route files that Envoy follows by now, whatever lies on disk."""
        running = self.running or ()
        more = {name: one for name, one in self.new.listeners.items() if name in running}
        return self.new.route_watchers(more) | self.old.route_watchers(self.old.listeners)

    def _put(self, path: str, data: bytes, does: str, *watchers: Subscription) -> None:
        self.steps.append(Put(path=path, data=data, does=does, subscriptions=watchers))

    def _shared(
        self,
        paths: set[str],
        does: str,
        watchers: dict[str, tuple[Subscription, ...]] | None = None,
    ) -> None:
        for path in sorted(paths):
            self._put(path, self.new.files[path], does, *(watchers or {}).get(path, ()))

    def _widen_clusters(self) -> Resources:
        """Bring in new and changed clusters; those that nobody needs any more stay for now."""
        widened = self.new.clusters | {name: self.old.clusters[name] for name in self.pruned}
        if not self.pruned:
            data = self.new.files[CDS]
        elif widened == self.old.clusters:
            data = self.old.files[CDS]
        else:
            data = compose(widened)
        if data != self.old.files[CDS] or CDS in self.stale:
            self._put_clusters(data, "clusters, old and new" if self.pruned else "clusters")
        return widened

    def _put_clusters(self, data: bytes, does: str) -> None:
        self._put(CDS, data, does, *self.new.watchers({}, {})[CDS])
        self.steps.append(AwaitWarm())

    def _listeners(self) -> None:
        if LDS not in self.changed:
            return
        watchers = self.new.watchers({}, {})[LDS]
        stay = self._staying()
        if stay is not None:
            # Envoy refuses both of two listeners that swap addresses in one file.
            self._put(LDS, compose(stay), "without listeners whose address is taken", *watchers)
        self._put(LDS, self.new.files[LDS], "listeners", *watchers)
        self.steps.append(AwaitWarm())

    def _staying(self) -> Resources | None:
        """Return the listeners of a step in between; None: it takes none."""
        there, then = self.old.listeners, self.new.listeners
        if self.running is None:
            moving = moving_away(_addresses_in(there), _addresses_in(then))
            return (
                {name: one for name, one in there.items() if name not in moving} if moving else None
            )
        moving = moving_away(self.running, _addresses_in(then))
        held = {address for name in moving for address in self.running[name]}
        stay = {
            name: one
            for name, one in then.items()
            if name not in moving and held.isdisjoint(_addresses(one))
        }
        return stay if moving else None

    def _prune_clusters(self) -> None:
        if not self.pruned:
            return
        used = set(self.pruned)
        if not self.is_draining and LDS not in self.stale:
            used &= draining_uses(self.old, self.new)
        if used:
            self.steps.append(AwaitDrain(tuple(sorted(used))))
        self._put_clusters(self.new.files[CDS], "clusters, without those no longer used")


def compose(resources: Resources) -> bytes:
    """Write a file that is in no bundle; its version is a digest like that of any other."""
    content = json.dumps(list(resources.values()), sort_keys=True)
    version = hashlib.sha256(content.encode()).hexdigest()[:_VERSION_LENGTH]
    return f'{{"version_info": "{version}", "resources": {content}}}\n'.encode()


def moving_away(old: Mapping[str, Collection[str]], new: Mapping[str, Collection[str]]) -> set[str]:
    """Listeners that leave an address which another listener takes over in the same change.

    Both are listeners by name, with the names of their addresses.
    """
    taken = {address: name for name, addresses in new.items() for address in addresses}
    return {
        name
        for name, addresses in old.items()
        if name in new and any(taken.get(address, name) != name for address in addresses)
    }


def draining_uses(old: Configuration, new: Configuration) -> set[str]:
    """Every name that a listener may still refer to while it drains.

    A draining listener keeps its own routes, but goes on following a route file.  Collecting all
    strings is coarse; a name too many costs some waiting, a name too few costs requests.
    """
    draining = {name: one for name, one in old.listeners.items() if new.listeners.get(name) != one}
    found = set(texts_in(list(draining.values())))
    for path in old.route_watchers(draining):
        data = new.files.get(path, old.files.get(path))
        if data is None:
            continue
        try:
            found.update(texts_in(json.loads(data)))
        except (ValueError, RecursionError):
            found.update(old.clusters)  # damaged by hand: Envoy still has some earlier routes
    return found


def _addresses_in(listeners: Resources) -> dict[str, set[str]]:
    return {name: _addresses(one) for name, one in listeners.items()}


def _addresses(listener: dict[str, Any]) -> set[str]:
    more = listener.get("additional_addresses", [])
    places = [listener, *(more if isinstance(more, list) else [])]
    return {address_of(place.get("address")) for place in places if isinstance(place, dict)}
