"""A good cluster and a good listener, for comparing the checker with other programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TYPES = "type.googleapis.com/"
CLUSTER = "envoy.config.cluster.v3.Cluster"
LISTENER = "envoy.config.listener.v3.Listener"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HTTP_FILTERS = "envoy.extensions.filters.http."
NETWORK_FILTERS = "envoy.extensions.filters.network."


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A message of a type, and in words what was done to a good one."""

    type_name: str
    message: dict[str, Any]
    note: str


def address(port: int = 9001) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def any_of(type_name: str, **fields: Any) -> dict[str, Any]:
    return {"@type": TYPES + type_name, **fields}


def named(name: str, type_name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": any_of(type_name, **fields)}


def cluster() -> dict[str, Any]:
    endpoint = {"address": address(8080), "hostname": "h"}
    return {
        "name": "c",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "least_request_lb_config": {"choice_count": 3},
        "per_connection_buffer_limit_bytes": 32768,
        "load_assignment": {
            "cluster_name": "c",
            "endpoints": [
                {
                    "locality": {"region": "r", "zone": "z"},
                    "priority": 0,
                    "load_balancing_weight": 1,
                    "lb_endpoints": [
                        {
                            "endpoint": endpoint,
                            "health_status": "HEALTHY",
                            "load_balancing_weight": 2,
                            "metadata": {"filter_metadata": {"envoy.lb": {"a": [1, "x", None]}}},
                        }
                    ],
                }
            ],
            "policy": {"overprovisioning_factor": 140},
        },
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "5s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 2,
                "http_health_check": {
                    "path": "/healthz",
                    "host": "h",
                    "expected_statuses": [{"start": 200, "end": 300}],
                    "request_headers_to_add": [{"header": {"key": "x-a", "value": "1"}}],
                },
            }
        ],
        "circuit_breakers": {
            "thresholds": [{"priority": "HIGH", "max_connections": 10, "track_remaining": True}]
        },
        "outlier_detection": {"consecutive_5xx": 5, "max_ejection_percent": 50, "interval": "5s"},
        "common_lb_config": {
            "healthy_panic_threshold": {"value": 30.0},
            "zone_aware_lb_config": {"routing_enabled": {"value": 50}, "min_cluster_size": 3},
        },
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 60}},
        "transport_socket": named(
            "envoy.transport_sockets.tls",
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            sni="s",
            common_tls_context={
                "alpn_protocols": ["h2"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            },
        ),
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: any_of(
                HTTP_OPTIONS,
                explicit_http_config={
                    "http2_protocol_options": {
                        "max_concurrent_streams": 100,
                        "connection_keepalive": {"interval": "30s", "timeout": "5s"},
                    }
                },
                common_http_protocol_options={"idle_timeout": "60s"},
            )
        },
    }


def _routes() -> dict[str, Any]:
    retry = {
        "retry_on": "5xx",
        "num_retries": 2,
        "per_try_timeout": "1s",
        "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
        "retriable_status_codes": [503],
    }
    split = [{"name": "c", "weight": 40}, {"name": "c", "weight": 60}]
    return {
        "name": "r",
        "virtual_hosts": [
            {
                "name": "v",
                "domains": ["a.example", "*.b.example"],
                "request_headers_to_add": [
                    {"header": {"key": "x-b", "value": "2"}, "append_action": "ADD_IF_ABSENT"}
                ],
                "routes": [
                    {
                        "match": {
                            "prefix": "/a",
                            "headers": [{"name": "x", "string_match": {"exact": "1"}}],
                            "query_parameters": [{"name": "q", "present_match": True}],
                            "runtime_fraction": {
                                "default_value": {"numerator": 5, "denominator": "HUNDRED"}
                            },
                        },
                        "route": {
                            "cluster": "c",
                            "timeout": "5s",
                            "retry_policy": retry,
                            "hash_policy": [{"header": {"header_name": "x"}, "terminal": True}],
                        },
                    },
                    {
                        "match": {"safe_regex": {"regex": "/x/.*"}},
                        "route": {"weighted_clusters": {"clusters": split}},
                        "typed_per_filter_config": {
                            "envoy.filters.http.fault": any_of(
                                HTTP_FILTERS + "fault.v3.HTTPFault",
                                abort={"http_status": 503, "percentage": {"numerator": 1}},
                            )
                        },
                    },
                    {"match": {"path": "/r"}, "redirect": {"path_redirect": "/s"}},
                    {
                        "match": {"prefix": "/"},
                        "direct_response": {"status": 404, "body": {"inline_string": "no"}},
                    },
                ],
            }
        ],
    }


def _http_filters() -> list[dict[str, Any]]:
    rules = {
        "action": "ALLOW",
        "policies": {
            "p": {
                "permissions": [{"header": {"name": "x", "present_match": True}}],
                "principals": [
                    {"direct_remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}
                ],
            }
        },
    }
    bucket = {"max_tokens": 10, "tokens_per_fill": 10, "fill_interval": "1s"}
    return [
        named("envoy.filters.http.rbac", HTTP_FILTERS + "rbac.v3.RBAC", rules=rules),
        named(
            "envoy.filters.http.fault",
            HTTP_FILTERS + "fault.v3.HTTPFault",
            delay={"fixed_delay": "0.1s", "percentage": {"numerator": 10}},
        ),
        named(
            "envoy.filters.http.local_ratelimit",
            HTTP_FILTERS + "local_ratelimit.v3.LocalRateLimit",
            stat_prefix="l",
            token_bucket=bucket,
            status={"code": "TooManyRequests"},
        ),
        named(
            "envoy.filters.http.header_mutation",
            HTTP_FILTERS + "header_mutation.v3.HeaderMutation",
            mutations={"request_mutations": [{"remove": "x-secret"}]},
        ),
        named("envoy.filters.http.router", HTTP_FILTERS + "router.v3.Router", dynamic_stats=True),
    ]


def _access_log() -> dict[str, Any]:
    return {
        **named(
            "envoy.access_loggers.file",
            "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            path="/dev/null",
            log_format={"json_format": {"a": "%START_TIME%", "b": {"c": 1}}},
        ),
        "filter": {
            "status_code_filter": {
                "comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "k"}}
            }
        },
    }


def listener() -> dict[str, Any]:
    manager = named(
        "envoy.filters.network.http_connection_manager",
        NETWORK_FILTERS + "http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="s",
        codec_type="AUTO",
        route_config=_routes(),
        http_filters=_http_filters(),
        access_log=[_access_log()],
        tracing={
            "random_sampling": {"value": 10.0},
            "custom_tags": [{"tag": "t", "literal": {"value": "v"}}],
        },
        common_http_protocol_options={"idle_timeout": "60s"},
        http2_protocol_options={"max_concurrent_streams": 100},
        stream_idle_timeout="5s",
        use_remote_address=True,
        server_header_transformation="PASS_THROUGH",
        upgrade_configs=[{"upgrade_type": "websocket", "enabled": True}],
        local_reply_config={"mappers": [_local_reply()]},
    )
    proxy = named(
        "envoy.filters.network.tcp_proxy",
        NETWORK_FILTERS + "tcp_proxy.v3.TcpProxy",
        stat_prefix="t",
        cluster="c",
        idle_timeout="60s",
        max_connect_attempts=2,
    )
    return {
        "name": "l",
        "address": address(),
        "traffic_direction": "INBOUND",
        "per_connection_buffer_limit_bytes": 32768,
        "listener_filters": [
            named(
                "envoy.filters.listener.tls_inspector",
                "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
            )
        ],
        "filter_chains": [
            {"name": "http", "filters": [manager]},
            {
                "name": "tcp",
                "filter_chain_match": {
                    "server_names": ["a.example"],
                    "prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}],
                },
                "filters": [
                    named(
                        "envoy.filters.network.connection_limit",
                        NETWORK_FILTERS + "connection_limit.v3.ConnectionLimit",
                        stat_prefix="n",
                        max_connections=10,
                    ),
                    proxy,
                ],
            },
        ],
    }


def _local_reply() -> dict[str, Any]:
    condition = {"op": "EQ", "value": {"default_value": 503, "runtime_key": "k"}}
    return {
        "filter": {"status_code_filter": {"comparison": condition}},
        "status_code": 500,
        "body": {"inline_string": "sorry"},
    }
