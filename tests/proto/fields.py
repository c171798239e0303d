"""Values for every field of every message that a node's configuration can contain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, FieldDescriptor

    from meshc.proto import EnvoySchema

ROOTS = (
    "envoy.config.bootstrap.v3.Bootstrap",
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.config.listener.v3.Listener",
    "envoy.config.route.v3.RouteConfiguration",
    "envoy.config.trace.v3.OpenTelemetryConfig",
    "envoy.config.trace.v3.ZipkinConfig",
    "envoy.extensions.access_loggers.file.v3.FileAccessLog",
    "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
    "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
    "envoy.extensions.filters.http.fault.v3.HTTPFault",
    "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
    "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
    "envoy.extensions.filters.http.rbac.v3.RBAC",
    "envoy.extensions.filters.http.router.v3.Router",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
)
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
STRUCT = "type.googleapis.com/google.protobuf.Struct"
DURATION = "type.googleapis.com/google.protobuf.Duration"

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.0, 1.5, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1),
    *(2**32 - 1, 2**32, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**400),
    *(1e30, 1e39, float("nan"), float("inf"), float("-inf")),
    *("", "x", "5", "-5", "+5", " 5", "5 ", "5\n", "1_0", "007", "0x1", "1e1", "1.0", "1.5"),
    *("18446744073709551616", "1e400", ".5", "5.", "nan", "NaN", "inf", "Infinity", "-Infinity"),
    *(
        "true",
        "false",
        "True",
        "\ud800",
        "ö",
        "YQ==",
        "YQ",
        "YQ=",
        "Y",
        "*",
        "Y Q==",
        "_-8=",
        "+/8=",
    ),
    *("1s", "-1s", "1.5s", ".5s", "1.s", "s", "1", "1.0000000001s", "+1s", " 1s", "1_0s", "1e1s"),
    *("315576000000s", "315576000001s", "-0.5s", "1.1e1s", "1m"),
    *("2026-01-31T12:00:00Z", "2026-02-30T12:00:00Z", "2026-01-31T12:00:00.5+01:00", "2026-01-31"),
    *("2026-01-31t12:00:00Z", "2026-01-31T12:00:00", "a.b,c.d", "a_b", "a,", "a-b", "aB"),
    *(
        [],
        {},
        [None],
        [[]],
        [{}],
        [1],
        ["x"],
        ["1s"],
        ["5"],
        [True],
        {"x": 1},
        {"x": None},
        {"": "y"},
    ),
    *(
        {"x": {}},
        {"x": []},
        {"x": "1s"},
        {"1": True},
        {"true": "x"},
        {"\ud800": "x"},
        {"x": "\ud800"},
    ),
    *({"@type": ROUTER}, {"@type": ROUTER, "dynamic_stats": 1}, {"@type": "x"}, {"@type": 5}),
    *({"@type": "other.example/" + ROUTER.split("/")[1]}, {"@type": ROUTER.split("/")[1]}),
    *({"@type": STRUCT, "value": {}}, {"@type": STRUCT}, {"@type": STRUCT, "value": {}, "a": 1}),
    *({"@type": DURATION, "value": "1s"}, {"@type": DURATION, "value": 1}, {"@type": DURATION}),
    *((1,), {"x": float("nan")}, {"x": [1, "a", None, {"b": False}]}, b"x", object),
)


def reachable(schema: EnvoySchema) -> list[Descriptor]:
    seen: dict[str, Descriptor] = {}
    waiting = [schema.pool.FindMessageTypeByName(name) for name in ROOTS]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in seen or descriptor.full_name.startswith("google.protobuf."):
            continue
        seen[descriptor.full_name] = descriptor
        waiting.extend(field.message_type for field in descriptor.fields if field.message_type)
    return [item for item in seen.values() if not item.GetOptions().map_entry]


def field_samples(schema: EnvoySchema) -> Iterator[tuple[Descriptor, FieldDescriptor, Any]]:
    """Give every value to one field of each kind in each message, and to the rest a few."""
    seen: set[tuple[Any, ...]] = set()
    for descriptor in reachable(schema):
        for number, field in enumerate(descriptor.fields):
            shape = (field.type, field.is_repeated, field.enum_type, field.message_type)
            values = VALUES if shape not in seen else VALUES[number % 7 :: 7]
            seen.add(shape)
            for value in values:
                yield descriptor, field, value
