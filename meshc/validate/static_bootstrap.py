"""Put distinct resources of many nodes into one static bootstrap that Envoy can judge.

Resources of different nodes share names and addresses, and Envoy treats such neighbours badly:
a second cluster of a name is an error, a second listener of an address too, and a second
listener of a *name* is not looked at at all.  So each copy gets a name and ports of its own.
Nothing is bound in validate mode, hence any port will do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from meshc.diagnostics.errors import InternalError
from meshc.validate.envoy_copy import Copier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TYPE = "type.googleapis.com/envoy.config."
CLUSTER = f"{_TYPE}cluster.v3.Cluster"
LISTENER = f"{_TYPE}listener.v3.Listener"
ROUTES = f"{_TYPE}route.v3.RouteConfiguration"
ENDPOINTS = f"{_TYPE}endpoint.v3.ClusterLoadAssignment"
BOOTSTRAP = f"{_TYPE}bootstrap.v3.Bootstrap"
TYPE_URLS = frozenset({CLUSTER, LISTENER, ROUTES, ENDPOINTS, BOOTSTRAP})

# Stands between a name and its number.  The worst that a spec with such a name can do is to
# make a batch fail that is then judged in parts.
_NUMBER_MARK = "~meshc~"
_ADS_CLUSTER = "meshc~ads"
_ADS_CONFIG = {
    "api_type": "GRPC",
    "transport_api_version": "V3",
    "grpc_services": [{"envoy_grpc": {"cluster_name": _ADS_CLUSTER}}],
}
_MAX_PORT = 65535
# A Unix socket path has 108 bytes, one of them the final zero.
_MAX_PIPE = 107
_HCM = (
    "type.googleapis.com/envoy.extensions.filters.network."
    "http_connection_manager.v3.HttpConnectionManager"
)
_ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One distinct resource to be judged.

    Attributes:
        key: its digest; only used to name it in the answer.
        type_url: one of ``TYPE_URLS``.
        message: the resource in Envoy's JSON with snake_case names.
    """

    key: str
    type_url: str
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticBootstrap:
    """A bootstrap with, for each entry of its two lists, the candidate it came from.

    A stub, which only gives a name to references, came from None.
    """

    text: bytes
    clusters: tuple[int | None, ...]
    listeners: tuple[int | None, ...]
    cluster_names: tuple[str, ...]
    eds: frozenset[int]


def assemble(candidates: Sequence[Candidate], *, max_checks: int) -> StaticBootstrap:
    """Put the candidates into one bootstrap, in their order.

    A bootstrap among them must be the only one: it is a whole process by itself.
    """
    if len(candidates) == 1 and candidates[0].type_url == BOOTSTRAP:
        return _whole(candidates[0], max_checks)
    copier = Copier(max_checks)
    ports = _Ports()
    # A lone resource keeps its name, so that Envoy's reason speaks of it and not of a copy.
    is_alone = len(candidates) == 1
    clusters: list[dict[str, Any]] = []
    listeners: list[dict[str, Any]] = []
    cluster_of: list[int | None] = []
    listener_of: list[int | None] = []
    for index, candidate in enumerate(candidates):
        match candidate.type_url:
            case t if t == CLUSTER:
                message = copier.copy(candidate.message)
            case t if t == LISTENER:
                message = copier.copy(candidate.message)
                ports.make_unique(message, index)
            case t if t == ENDPOINTS:
                message = _cluster_around(copier.copy(candidate.message))
            case t if t == ROUTES:
                message = _listener_around(candidate.message, copier)
                ports.make_unique(message, index)
            case other:
                raise InternalError(f"the Envoy gate cannot judge {other} in a batch")
        name = message.get("name")
        if isinstance(name, str) and name and not is_alone:
            message["name"] = f"{name}{_NUMBER_MARK}{index}"
        if candidate.type_url in (CLUSTER, ENDPOINTS):
            clusters.append(message)
            cluster_of.append(index)
        else:
            listeners.append(message)
            listener_of.append(index)
    taken = {_name(cluster) for cluster in clusters}
    stubs = [_stub(name) for name in sorted({*copier.references, _ADS_CLUSTER} - taken)]
    # Stubs stand first: a listener or an aggregate finds them, whatever fails behind them.
    clusters[:0] = stubs
    bootstrap = {
        "node": {"id": "meshc", "cluster": "meshc"},
        "dynamic_resources": {"ads_config": _ADS_CONFIG},
        "static_resources": {"clusters": clusters, "listeners": listeners},
    }
    return StaticBootstrap(
        text=_encoded(bootstrap),
        clusters=(*[None] * len(stubs), *cluster_of),
        listeners=tuple(listener_of),
        cluster_names=tuple(map(_name, clusters)),
        eds=frozenset(i for i, cluster in enumerate(clusters) if _is_eds(cluster)),
    )


def _whole(candidate: Candidate, max_checks: int) -> StaticBootstrap:
    """Return a node's own bootstrap, with its file sources replaced and nothing else.

    It gets no stubs: what is static on a node can only refer to what is static there.
    """
    copier = Copier(max_checks, are_routes_free=False)
    bootstrap = copier.copy(candidate.message)
    dynamic = bootstrap.get("dynamic_resources", {})
    static = bootstrap.get("static_resources", {})
    has_ads = not isinstance(dynamic, dict) or "ads_config" in dynamic
    if copier.has_replaced_source and not has_ads and isinstance(static, dict):
        clusters = static.get("clusters", [])
        if isinstance(clusters, list):
            bootstrap["dynamic_resources"] = {**dynamic, "ads_config": _ADS_CONFIG}
            # Last, so that Envoy's positions are those of the original.
            bootstrap["static_resources"] = {**static, "clusters": [*clusters, _stub(_ADS_CLUSTER)]}
    return StaticBootstrap(
        text=_encoded(bootstrap), clusters=(), listeners=(), cluster_names=(), eds=frozenset()
    )


def _cluster_around(assignment: dict[str, Any]) -> dict[str, Any]:
    """Return a cluster that holds these endpoints.

    STATIC has the same rules for endpoints as EDS: addresses and no host names.
    """
    return {"name": "endpoints", "type": "STATIC", "load_assignment": assignment}


def _listener_around(routes: Mapping[str, Any], copier: Copier) -> dict[str, Any]:
    """Return a listener that serves these routes inline, where Envoy judges them in full."""
    manager = {
        "@type": _HCM,
        "stat_prefix": "routes",
        "route_config": routes,
        "http_filters": [_ROUTER],
    }
    copied = copier.copy(manager)
    return {
        "name": "routes",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": copied,
                    }
                ]
            }
        ],
    }


class _Ports:
    """Gives every address of every listener a port that no other listener of the batch has.

    The address itself stays, so its family, and a malformed one is still refused.  So does a
    port outside the valid range.  Equal ports of one listener stay equal, as little as
    Envoy makes of an address that a listener names twice.
    """

    def __init__(self) -> None:
        self._next = 1

    def make_unique(self, listener: dict[str, Any], index: int) -> None:
        new: dict[int, int] = {}
        if isinstance(main := listener.get("address"), dict):
            listener["address"] = self._moved(main, new, index)
        more = listener.get("additional_addresses")
        if isinstance(more, list):
            listener["additional_addresses"] = [
                {**entry, "address": self._moved(entry["address"], new, index)}
                if isinstance(entry, dict) and isinstance(entry.get("address"), dict)
                else entry
                for entry in more
            ]

    def _moved(self, address: dict[str, Any], new: dict[int, int], index: int) -> dict[str, Any]:
        socket, pipe = address.get("socket_address"), address.get("pipe")
        if isinstance(socket, dict):
            port = socket.get("port_value")
            if type(port) is not int or not 0 <= port <= _MAX_PORT:
                return address
            if port not in new:
                new[port] = self._next
                self._next += 1
            return {**address, "socket_address": {**socket, "port_value": new[port]}}
        if isinstance(pipe, dict) and isinstance(path := pipe.get("path"), str) and path:
            return {**address, "pipe": {**pipe, "path": _numbered_path(path, index)}}
        return address


def _numbered_path(path: str, index: int) -> str:
    """Put a number into a socket path; one that is too long stays too long, and no other gets."""
    mark = f"~{index}"
    if len(path.encode()) + len(mark) <= _MAX_PIPE or len(path) <= len(mark):
        return path + mark
    return path[: -len(mark)] + mark


def _stub(name: str) -> dict[str, Any]:
    return {"name": name, "type": "STATIC"}


def _name(cluster: Mapping[str, Any]) -> str:
    name = cluster.get("name")
    return name if isinstance(name, str) else ""


def _is_eds(cluster: Mapping[str, Any]) -> bool:
    return cluster.get("type") in ("EDS", 3)


def _encoded(bootstrap: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(bootstrap)
    except TypeError as error:
        raise InternalError(f"a resource is no JSON: {error}") from error
