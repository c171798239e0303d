"""Time of checking a message, beside ParseDict of the same and a bare walk over the same.

Run as ``python -m benchmarks.schema_check``.  The machine is noisy: each figure is the best of
several rounds, and all three are taken in turn, so read the ratios.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from meshc.proto import EnvoySchema, load_schema

if TYPE_CHECKING:
    from collections.abc import Callable

Message = dict[str, Any]

TYPES = "type.googleapis.com/"
LISTENER = TYPES + "envoy.config.listener.v3.Listener"
CLUSTER = TYPES + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = TYPES + "envoy.config.endpoint.v3.ClusterLoadAssignment"
HCM = TYPES + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUNDS = 15
CALLS = 200


def access_log() -> list[Message]:
    """Return one access log to a file, in JSON."""
    return [
        {
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": TYPES + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": "/dev/null",
                "log_format": {
                    "json_format": {
                        "start_time": "%START_TIME%",
                        "method": "%REQ(:METHOD)%",
                        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
                        "response_code": "%RESPONSE_CODE%",
                        "duration": "%DURATION%",
                    }
                },
            },
        }
    ]


def manager() -> Message:
    """Return an HTTP connection manager as a mesh has it: about sixty fields."""
    return {
        "@type": HCM,
        "stat_prefix": "outbound_ledger",
        "codec_type": "AUTO",
        "rds": {
            "route_config_name": "outbound/ledger",
            "config_source": {
                "path_config_source": {
                    "path": "/etc/envoy/rds.json",
                    "watched_directory": {"path": "/etc/envoy"},
                },
                "resource_api_version": "V3",
                "initial_fetch_timeout": "15s",
            },
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": TYPES + "envoy.extensions.filters.http.router.v3.Router",
                    "dynamic_stats": True,
                    "suppress_envoy_headers": True,
                },
            }
        ],
        "tracing": {
            "client_sampling": {"value": 100.0},
            "random_sampling": {"value": 10.0},
            "overall_sampling": {"value": 100},
            "verbose": False,
            "max_path_tag_length": 256,
            "custom_tags": [
                {"tag": "service", "literal": {"value": "payments"}},
                {"tag": "host", "environment": {"name": "HOST", "default_value": "none"}},
            ],
            "provider": {
                "name": "envoy.tracers.opentelemetry",
                "typed_config": {
                    "@type": TYPES + "envoy.config.trace.v3.OpenTelemetryConfig",
                    "grpc_service": {
                        "envoy_grpc": {"cluster_name": "otel"},
                        "timeout": "0.5s",
                    },
                    "service_name": "payments",
                },
            },
        },
        "common_http_protocol_options": {
            "idle_timeout": "3600s",
            "max_connection_duration": "86400s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 65536,
            "initial_connection_window_size": 1048576,
        },
        "use_remote_address": True,
        "xff_num_trusted_hops": 0,
        "stream_idle_timeout": "300s",
        "request_timeout": "60s",
        "request_headers_timeout": "10s",
        "drain_timeout": "5s",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "generate_request_id": True,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "access_log": access_log(),
    }


def listener() -> Message:
    """Return a listener of one filter chain: about twenty fields around the manager."""
    return {
        "name": "outbound/ledger",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 9001}},
        "traffic_direction": "OUTBOUND",
        "per_connection_buffer_limit_bytes": 32768,
        "stat_prefix": "ledger",
        "enable_reuse_port": True,
        "listener_filters_timeout": "5s",
        "access_log": access_log(),
        "filter_chains": [
            {
                "name": "http",
                "filter_chain_match": {"destination_port": 9001},
                "transport_socket_connect_timeout": "5s",
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager(),
                    }
                ],
            }
        ],
    }


def endpoints() -> Message:
    """Return the ten endpoints of a service."""
    return {
        "cluster_name": "ledger",
        "endpoints": [
            {
                "locality": {"region": "eu", "zone": "a"},
                "lb_endpoints": [
                    {
                        "endpoint": {
                            "address": {
                                "socket_address": {"address": f"10.0.0.{host}", "port_value": 8080}
                            },
                            "hostname": f"ledger-{host}",
                        },
                        "health_status": "HEALTHY",
                        "load_balancing_weight": 1,
                    }
                    for host in range(10)
                ],
            }
        ],
    }


def cluster() -> Message:
    """Return a cluster with endpoints, limits, outlier detection and HTTP/2."""
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": "ledger",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": endpoints(),
        "circuit_breakers": {
            "thresholds": [{"max_connections": 1024, "max_requests": 1024, "max_retries": 3}]
        },
        "outlier_detection": {"consecutive_5xx": 5, "interval": "10s", "base_ejection_time": "30s"},
        "typed_extension_protocol_options": {
            options: {
                "@type": TYPES + options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }


def bare_walk(value: object) -> int:
    """Visit every value and do nothing: the floor of any check in Python."""
    count = 1
    if isinstance(value, dict):
        for item in value.values():
            count += bare_walk(item)
    elif isinstance(value, list):
        for item in value:
            count += bare_walk(item)
    return count


def microseconds(call: Callable[[], object], *, calls: int = CALLS) -> float:
    """Return the time of one call, the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, time.perf_counter() - start)
    return best / calls * 1e6


def report(
    schema: EnvoySchema, title: str, type_url: str, message: Message, *, is_forgetful: bool
) -> None:
    """Print one line; ``is_forgetful`` walks payloads each time, as if never seen before."""
    assert schema.check(type_url, message) == (), schema.check(type_url, message)
    payloads = schema._checks._clean._depths  # noqa: SLF001 - only a benchmark wants to forget
    new = GetMessageClass(schema.pool.FindMessageTypeByName(type_url.removeprefix(TYPES)))
    bare = copy.deepcopy(message)
    bare.pop("@type", None)

    def check() -> None:
        if is_forgetful:
            payloads.clear()
        schema.check(type_url, message)

    checked = microseconds(check)
    walked = microseconds(lambda: bare_walk(message))
    # ParseDict is too slow for as many calls.
    parsed = microseconds(
        lambda: ParseDict(bare, new(), descriptor_pool=schema.pool), calls=CALLS // 20
    )
    print(
        f"{title:34} {bare_walk(message):6} {checked:9.1f} {walked:9.1f} {parsed:10.1f}"
        f" {checked / walked:8.1f} {parsed / checked:8.1f}"
    )


def main() -> None:
    """Print the table."""
    start = time.perf_counter()
    schema = load_schema("1.40.0")
    print(f"load_schema: {(time.perf_counter() - start) * 1e3:.1f} ms")
    print(f"{'message':34} {'values':>6} {'check us':>9} {'walk us':>9} {'Parse us':>10}", end="")
    print(f" {'c/walk':>8} {'Parse/c':>8}")
    payload = manager()
    del payload["@type"]
    report(schema, "listener, manager known", LISTENER, listener(), is_forgetful=False)
    report(schema, "listener, nothing known", LISTENER, listener(), is_forgetful=True)
    report(schema, "manager, nothing known", HCM, payload, is_forgetful=True)
    report(schema, "endpoints, ten", ENDPOINTS, endpoints(), is_forgetful=True)
    report(schema, "cluster, nothing known", CLUSTER, cluster(), is_forgetful=True)


if __name__ == "__main__":
    main()
