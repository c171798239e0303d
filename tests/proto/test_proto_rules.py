"""Every kind of rule in Envoy's descriptors: a message, and by hand what it must give."""

from __future__ import annotations

from typing import Any

import pytest

from meshc.proto import EnvoySchema, load_schema

T = "type.googleapis.com/"
ROUTER = T + "envoy.extensions.filters.http.router.v3.Router"
CLUSTER = "envoy.config.cluster.v3.Cluster"
HEADER = "envoy.config.core.v3.HeaderValue"
PERCENT = "envoy.type.v3.Percent"
BACK_OFF = "envoy.config.core.v3.BackoffStrategy"
ADDRESS = "envoy.config.core.v3.SocketAddress"
MATCH = "envoy.config.route.v3.RouteMatch"
STRING_MATCH = "envoy.type.matcher.v3.StringMatcher"
LONG = "x" * 16385


@pytest.fixture(scope="module")
def schema() -> EnvoySchema:
    return load_schema("1.40.0")


RULES: list[tuple[str, str, dict[str, Any], list[tuple[str, str]]]] = [
    (
        "text min_len, present",
        "envoy.config.core.v3.TypedExtensionConfig",
        {"name": "", "typed_config": {"@type": ROUTER}},
        [("name", "must have at least 1 character")],
    ),
    (
        "text min_len, missing; any required",
        "envoy.config.core.v3.TypedExtensionConfig",
        {},
        [
            ("name", "is required: it must have at least 1 character"),
            ("typed_config", "is required"),
        ],
    ),
    (
        "null counts as missing",
        "envoy.config.core.v3.TypedExtensionConfig",
        {"name": None, "typed_config": None},
        [
            ("name", "is required: it must have at least 1 character"),
            ("typed_config", "is required"),
        ],
    ),
    (
        "text max_bytes counts bytes",
        HEADER,
        {"key": "ö" * 8193, "value": "1"},
        [("key", "must have at most 16384 bytes")],
    ),
    (
        "every broken rule of one value is named",
        HEADER,
        {"key": LONG + "\n"},
        [
            ("key", "must have at most 16384 bytes"),
            ("key", "must not contain zero bytes or line ends"),
        ],
    ),
    (
        "text max_len counts characters",
        "envoy.extensions.clusters.reverse_connection.v3.ReverseConnectionClusterConfig",
        {"host_id_format": "x", "cleanup_interval": "60s", "tenant_id_format": "ö" * 1025},
        [("tenant_id_format", "must have at most 1024 characters")],
    ),
    (
        "text prefix and suffix; ignore_empty leaves the missing alone",
        "envoy.config.route.v3.RateLimit.HitsAddend",
        {"format": "x"},
        [("format", 'must start with "%"'), ("format", 'must end with "%"')],
    ),
    ("ignore_empty, empty", "envoy.config.route.v3.RateLimit.HitsAddend", {"format": ""}, []),
    (
        "text pattern, a last newline is not the end",
        MATCH,
        {"path_separated_prefix": "/a\n/"},
        [("path_separated_prefix", "must match the pattern ^[^?#]+[^?#/]$")],
    ),
    ("text pattern, right", MATCH, {"path_separated_prefix": "/a"}, []),
    (
        "text in; the member of a oneof is not required",
        "envoy.config.core.v3.SchemeHeaderTransformation",
        {"scheme_to_overwrite": "ftp"},
        [("scheme_to_overwrite", 'must be one of "http", "https"')],
    ),
    ("text in, missing oneof", "envoy.config.core.v3.SchemeHeaderTransformation", {}, []),
    (
        "strict header name",
        "envoy.config.route.v3.HeaderMatcher",
        {"name": "a\nb", "present_match": True},
        [("name", "must not contain zero bytes or line ends")],
    ),
    (
        "loose header regex accepts the empty name, min_len does not",
        HEADER,
        {"key": ""},
        [("key", "must have at least 1 character")],
    ),
    (
        "number lte",
        ADDRESS,
        {"address": "a", "port_value": 65536},
        [("port_value", "must be at most 65535")],
    ),
    ("number lte at the limit", ADDRESS, {"address": "a", "port_value": 65535}, []),
    (
        "number as text keeps its rules",
        ADDRESS,
        {"address": "a", "port_value": "65536"},
        [("port_value", "must be at most 65535")],
    ),
    (
        "oneof required",
        ADDRESS,
        {"address": "a"},
        [("", 'needs one of "port_value", "named_port"')],
    ),
    (
        "oneof with two members",
        ADDRESS,
        {"address": "a", "port_value": 1, "named_port": "http"},
        [("", 'has "port_value" and "named_port", of which only one may be set')],
    ),
    (
        "null is not set, also in a oneof",
        ADDRESS,
        {"address": "a", "port_value": 1, "named_port": None},
        [],
    ),
    (
        "a oneof that holds only null is not set",
        ADDRESS,
        {"address": "a", "port_value": None},
        [("", 'needs one of "port_value", "named_port"')],
    ),
    (
        "wrapped number gte",
        "envoy.config.core.v3.Http2ProtocolOptions",
        {"max_concurrent_streams": 0},
        [("max_concurrent_streams", "must be at least 1")],
    ),
    (
        "a wrapped number that is not set has no rules",
        "envoy.config.core.v3.Http2ProtocolOptions",
        {"max_concurrent_streams": None},
        [],
    ),
    ("double lte", PERCENT, {"value": 100.5}, [("value", "must be at most 100")]),
    ("double gte", PERCENT, {"value": -0.5}, [("value", "must be at least 0")]),
    ("double at the limits", PERCENT, {"value": 100}, []),
    ("NaN is not outside any limits", PERCENT, {"value": "NaN"}, []),
    (
        "number gt, missing",
        "envoy.config.core.v3.AlternateProtocolsCacheOptions",
        {"name": "x", "max_entries": 0},
        [("max_entries", "must be greater than 0")],
    ),
    (
        "bool const",
        "envoy.config.listener.v3.ListenerFilterChainMatchPredicate",
        {"any_match": False},
        [("any_match", "must be true")],
    ),
    (
        "duration required and gte",
        BACK_OFF,
        {"base_interval": "0.0009s"},
        [("base_interval", "must be at least 0.001s")],
    ),
    (
        "duration gt",
        BACK_OFF,
        {"base_interval": "0.001s", "max_interval": "0s"},
        [("max_interval", "must be greater than 0s")],
    ),
    ("duration missing", BACK_OFF, {}, [("base_interval", "is required")]),
    (
        "enum defined_only",
        "envoy.config.core.v3.SocketOption",
        {"int_value": 1, "state": 99},
        [("state", "must be one of STATE_PREBIND, STATE_BOUND, STATE_LISTENING")],
    ),
    ("enum by number", CLUSTER, {"name": "c", "lb_policy": 1}, []),
    (
        "enum not_in",
        "envoy.config.core.v3.HealthCheck.HttpHealthCheck",
        {"path": "/", "method": "CONNECT"},
        [("method", "must not be CONNECT")],
    ),
    (
        "list min_items, missing",
        "envoy.type.matcher.v3.ListStringMatcher",
        {},
        [("patterns", "is required: it must have at least 1 element")],
    ),
    (
        "list items and unique",
        "envoy.config.metrics.v3.HistogramBucketSettings",
        {"match": {"exact": "a"}, "buckets": [1, 0, 1]},
        [("buckets[1]", "must be greater than 0")],
    ),
    (
        "list unique",
        "envoy.config.metrics.v3.HistogramBucketSettings",
        {"match": {"exact": "a"}, "buckets": [1, 1.0]},
        [("buckets", "must not contain equal elements")],
    ),
    (
        "list items in",
        "envoy.config.accesslog.v3.ResponseFlagFilter",
        {"flags": ["UH", 1]},
        [("flags[1]", "must be a string, not 1")],
    ),
    (
        "map min_pairs",
        "xds.type.matcher.v3.Matcher.MatcherTree.MatchMap",
        {"map": {}},
        [("map", "must have at least 1 entry")],
    ),
    (
        "map keys",
        "envoy.config.core.v3.Metadata",
        {"filter_metadata": {"": {}}},
        [('filter_metadata[""]', "key must have at least 1 character")],
    ),
    (
        "map values",
        "xds.data.orca.v3.OrcaLoadReport",
        {"utilization": {"a": 1.5, "b": 0.5}},
        [('utilization["a"]', "must be at most 1")],
    ),
    (
        "bytes max_len",
        HEADER,
        {"key": "k", "raw_value": "QUFB" * 5462},
        [("raw_value", "must have at most 16384 bytes")],
    ),
    (
        "message required",
        "envoy.config.core.v3.ExtraSourceAddress",
        {},
        [("address", "is required")],
    ),
    (
        "message skip: types are checked, rules are not",
        "envoy.config.core.v3.KeyValueAppend",
        {"entry": {"key": ""}, "record": {"key": "k"}},
        [],
    ),
    (
        "message skip: a wrong type is still wrong",
        "envoy.config.core.v3.KeyValueAppend",
        {"entry": {"key": 5}, "record": {"key": "k"}},
        [("entry.key", "must be a string, not 5")],
    ),
    ("a required member of a oneof is not required by itself", STRING_MATCH, {"exact": ""}, []),
]


@pytest.mark.parametrize(
    ("type_name", "message", "expected"),
    [case[1:] for case in RULES],
    ids=[case[0] for case in RULES],
)
def test_a_rule_of_envoy_is_applied(
    schema: EnvoySchema, type_name: str, message: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    violations = schema.check(type_name, message)

    assert [(item.path, item.message) for item in violations] == expected
