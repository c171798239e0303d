"""The same mesh with the defaults that other meshes document, as plain Envoy files.

Called hosts: a listener for each service that hands everything to the application.
The caller: for each column of defaults a listener and a cluster for each service.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_TYPES = "type.googleapis.com/envoy.extensions"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_NO_LIMIT = 4_294_967_295
SERVICES = {"web": "http", "two": "http2", "rpc": "http2", "db": "tcp"}
"""Service → what is spoken with it; gRPC is HTTP/2 here."""
CALLED_ADMIN = 9902
CALLER_ADMIN = 9902


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a caller's Envoy does about failures: retries, and how many of them at a time."""

    retries: int
    at_a_time: int | None
    """None: as many as there are."""


COLUMNS = {
    "retries, 3 at a time": Defaults(retries=2, at_a_time=3),
    "retries": Defaults(retries=2, at_a_time=None),
    "nothing": Defaults(retries=0, at_a_time=3),
}
"""Columns beside ours, in the order of the table."""
_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled"


def called_bootstrap(address: str) -> str:
    """Return what the plain Envoy of a called host starts with."""
    return _bootstrap(
        "called",
        (address, CALLED_ADMIN),
        [
            _listener(name, (address, 8101 + number), kind, name, None)
            for number, (name, kind) in enumerate(SERVICES.items())
        ],
        [
            _cluster(name, kind, [("127.0.0.1", 9001 + number)], None)
            for number, (name, kind) in enumerate(SERVICES.items())
        ],
    )


def caller_port(column: str, service: str) -> int:
    """Return the port of the caller's loopback at which a column's Envoy takes calls."""
    return 9101 + 100 * list(COLUMNS).index(column) + list(SERVICES).index(service)


def caller_bootstrap(address: str, called: list[str]) -> str:
    """Return what the plain Envoy of the caller starts with."""
    listeners, clusters = [], []
    for column, defaults in COLUMNS.items():
        for number, (name, kind) in enumerate(SERVICES.items()):
            full = f"{name} {column}".replace(" ", "-").replace(",", "")
            place = ("127.0.0.1", caller_port(column, name))
            hosts = [(host, 8101 + number) for host in called]
            listeners.append(_listener(full, place, kind, full, defaults))
            clusters.append(_cluster(full, kind, hosts, defaults))
    return _bootstrap("caller", (address, CALLER_ADMIN), listeners, clusters)


def _bootstrap(name: str, admin: tuple[str, int], listeners: list[Any], clusters: list[Any]) -> str:
    return json.dumps(
        {
            "node": {"id": name, "cluster": name},
            "admin": {"address": _address(admin)},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        }
    )


def _address(place: tuple[str, int]) -> dict[str, Any]:
    return {"socket_address": {"address": place[0], "port_value": place[1]}}


def _listener(
    name: str, place: tuple[str, int], kind: str, cluster: str, defaults: Defaults | None
) -> dict[str, Any]:
    if kind == "tcp":
        proxy = {"@type": f"{_TYPES}.filters.network.tcp_proxy.v3.TcpProxy"}
        last: dict[str, Any] = proxy | {"stat_prefix": name, "cluster": cluster}
        filter_name = "envoy.filters.network.tcp_proxy"
    else:
        last = _manager(name, cluster, defaults)
        filter_name = "envoy.filters.network.http_connection_manager"
    filters = [{"name": filter_name, "typed_config": last}]
    return {"name": name, "address": _address(place), "filter_chains": [{"filters": filters}]}


def _manager(name: str, cluster: str, defaults: Defaults | None) -> dict[str, Any]:
    action: dict[str, Any] = {"cluster": cluster, "timeout": "15s" if defaults else "0s"}
    if defaults is not None and defaults.retries:
        previous = f"{_TYPES}.retry.host.previous_hosts.v3.PreviousHostsPredicate"
        action["retry_policy"] = {
            "retry_on": _RETRY_ON,
            "num_retries": defaults.retries,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {"@type": previous},
                }
            ],
            "host_selection_retry_max_attempts": 5,
        }
    route = {"match": {"prefix": "/"}, "route": action}
    hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
    router = f"{_TYPES}.filters.http.router.v3.Router"
    return {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": hosts},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
    }


def _cluster(
    name: str, kind: str, hosts: list[tuple[str, int]], defaults: Defaults | None
) -> dict[str, Any]:
    cluster: dict[str, Any] = {
        "name": name,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(host)}} for host in hosts]}
            ],
        },
    }
    if kind != "tcp":
        options: dict[str, Any] = {
            "http2_protocol_options" if kind == "http2" else "http_protocol_options": {}
        }
        cluster["typed_extension_protocol_options"] = {
            _OPTIONS: {
                "@type": f"type.googleapis.com/{_OPTIONS}",
                "explicit_http_config": options,
            }
        }
    if defaults is not None and defaults.at_a_time is None:
        cluster["circuit_breakers"] = {"thresholds": [{"max_retries": _NO_LIMIT}]}
    return cluster
