"""What a node's set of files says: its resources, and under which name Envoy counts each file."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NewType

from meshc.artifact.layout import BOOTSTRAP, CDS, LDS, NODE_FILES
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Subscription = NewType("Subscription", str)
"""Prefix of a subscription's counters, with the final dot: ``cluster_manager.cds.``."""

CDS_SUBSCRIPTION = Subscription("cluster_manager.cds.")
LDS_SUBSCRIPTION = Subscription("listener_manager.lds.")

_SMALL = 32 * 1024

Resources = dict[str, dict[str, Any]]
"""Listeners or clusters by name, in the order of their file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A node's files and what is in those that the delivery must understand.

    ``root`` is how Envoy's configuration names the directory, with the final slash.
    """

    files: Mapping[str, bytes]
    root: str
    bootstrap: Mapping[str, Any]
    clusters: Resources
    listeners: Resources
    _routes: dict[int, tuple[object, tuple[tuple[str, Subscription], ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def endpoint_watchers(self, clusters: Resources) -> dict[str, tuple[Subscription, ...]]:
        """Endpoint files that the clusters refer to, each with the subscriptions to it."""
        found: dict[str, dict[Subscription, None]] = {}
        for name, cluster in clusters.items():
            if path := self._path(_inner(cluster, "eds_cluster_config", "eds_config")):
                found.setdefault(path, {})[Subscription(f"cluster.{name}.")] = None
        return {path: tuple(names) for path, names in found.items()}

    def route_watchers(self, listeners: Resources) -> dict[str, tuple[Subscription, ...]]:
        """Route files that the listeners refer to, each with the subscriptions to it."""
        found: dict[str, dict[Subscription, None]] = {}
        for listener in listeners.values():
            for path, name in self._routes_of(listener):
                found.setdefault(path, {})[name] = None
        return {path: tuple(names) for path, names in found.items()}

    def _routes_of(self, listener: dict[str, Any]) -> tuple[tuple[str, Subscription], ...]:
        """Find the route files of one listener, once: a delivery asks a dozen times."""
        known = self._routes.get(id(listener))
        if known is not None:
            return known[1]
        routes = []
        for manager in _mappings(listener):
            rds = manager.get("rds")
            if isinstance(rds, dict) and (path := self._path(rds.get("config_source"))):
                name = f"http.{manager.get('stat_prefix')}.rds.{rds.get('route_config_name')}."
                routes.append((path, Subscription(name)))
        # The listener is kept too, so that no other object can get its identity.
        self._routes[id(listener)] = listener, tuple(routes)
        return tuple(routes)

    def watchers(
        self, clusters: Resources, listeners: Resources
    ) -> dict[str, tuple[Subscription, ...]]:
        """All watched files of an Envoy that runs these clusters and listeners."""
        return {
            CDS: (CDS_SUBSCRIPTION,),
            LDS: (LDS_SUBSCRIPTION,),
            **self.endpoint_watchers(clusters),
            **self.route_watchers(listeners),
        }

    def _path(self, source: Any) -> str | None:
        """Return the file behind a config source, relative to the directory, if it is in it."""
        path = _inner(source, "path_config_source", "path")
        if isinstance(path, str) and path.startswith(self.root):
            return path[len(self.root) :]
        return None


def read_configuration(files: Mapping[str, bytes], *, origin: str) -> Configuration:
    """Read a complete set of files; ``origin`` names it in errors.

    Raises:
        DeliveryError: the set is incomplete or holds something that meshc does not write.
    """
    for name in NODE_FILES:
        if name not in files:
            raise DeliveryError(
                f'there is no "{name}" in {origin}',
                hint="lay the files out first: meshc materialize NODE DIRECTORY, and start Envoy",
            )
    bootstrap = _parsed(files[BOOTSTRAP], BOOTSTRAP, origin)
    return Configuration(
        files=files,
        root=_root(bootstrap, origin),
        bootstrap=bootstrap,
        clusters=_by_name(files[CDS], CDS, origin),
        listeners=_by_name(files[LDS], LDS, origin),
    )


def needs_restart(old: Configuration, new: Configuration) -> bool:
    """Whether an Envoy has to be started again to run another bootstrap.

    The list of services in its node's cluster is for spans and logs alone; a service that comes to
    a host or leaves it is worth no restart.
    """
    return _without_services(old.bootstrap) != _without_services(new.bootstrap)


def _without_services(bootstrap: Mapping[str, Any]) -> dict[str, Any]:
    node = bootstrap.get("node")
    named = {**node, "cluster": ""} if isinstance(node, dict) else node
    return {**bootstrap, "node": named}


def version_of(data: bytes, path: str = "") -> str:
    """Return the ``version_info`` of a file, which Envoy repeats once it has accepted it."""
    version = _known_version(data) if len(data) <= _SMALL else _version_in(data)
    if version is None:
        name = f'"{path}"' if path else "a file"
        raise DeliveryError(f"{name} has no version, so Envoy could never confirm it")
    return version


def _version_in(data: bytes) -> str | None:
    try:
        version = json.loads(data)["version_info"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
    return version if isinstance(version, str) and version else None


_known_version = functools.lru_cache(maxsize=64)(_version_in)
"""A delivery asks for the version of each file a dozen times; small ones are remembered."""


def address_of(value: Any) -> str:
    """Name an address of Envoy's so that two names are equal where the addresses are."""
    place = _inner(value, "socket_address")
    host, port = _inner(place, "address"), _inner(place, "port_value")
    if isinstance(host, str) and isinstance(port, int):
        with contextlib.suppress(ValueError):
            host = ipaddress.ip_address(host).compressed
        kind = "/udp" if _inner(place, "protocol") == "UDP" else ""
        return f"{host} {port}{kind}"
    return json.dumps(value, sort_keys=True)


def texts_in(value: Any) -> Iterator[str]:
    """All strings anywhere in a JSON value: a superset of the names that it refers to."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _inner(value: Any, *keys: str) -> Any:
    """Return what lies below the keys; None where anything on the way is no mapping."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    """All mappings anywhere in a JSON value, the outer before the inner, in their order."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            part = list(part.values())
        if isinstance(part, list):
            waiting += [one for one in reversed(part) if isinstance(one, dict | list)]


def _parsed(data: bytes, name: str, origin: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DeliveryError(f'"{name}" in {origin} is no JSON: {error}') from error
    if not isinstance(value, dict):
        raise DeliveryError(f'"{name}" in {origin} is no JSON object')
    return value


def _root(bootstrap: dict[str, Any], origin: str) -> str:
    try:
        path = bootstrap["dynamic_resources"]["lds_config"]["path_config_source"]["path"]
        if not path.endswith(f"/{LDS}"):
            raise KeyError(LDS)  # noqa: TRY301, one more way to be no bootstrap of ours
    except (KeyError, TypeError, AttributeError) as error:
        raise DeliveryError(
            f'"{BOOTSTRAP}" in {origin} does not make Envoy watch "{LDS}"',
            hint="deliver only under an Envoy that was started with meshc's bootstrap",
        ) from error
    return str(path[: -len(LDS)])


def _by_name(data: bytes, name: str, origin: str) -> Resources:
    found: Resources = {}
    resources: Any = _parsed(data, name, origin).get("resources")
    entries: list[Any] = resources if isinstance(resources, list) else [None]
    for resource in entries:
        key = resource.get("name") if isinstance(resource, dict) else None
        if not isinstance(key, str) or key in found:
            # Envoy reads an object without resources as "remove everything" and calls it success.
            raise DeliveryError(f'"{name}" in {origin} is no list of resources with names')
        found[key] = resource
    version_of(data, name)
    return found
