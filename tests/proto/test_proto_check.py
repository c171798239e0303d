"""Types, paths, payloads and what is remembered; every expected violation is by hand."""

from __future__ import annotations

import copy
import zlib
from importlib import resources
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from meshc.proto import EnvoySchema, Violation, load_schema
from tests.proto import samples

T = "type.googleapis.com/"
ROUTER = T + "envoy.extensions.filters.http.router.v3.Router"
CLUSTER = "envoy.config.cluster.v3.Cluster"
MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
HEADER = "envoy.config.core.v3.HeaderValue"
PERCENT = "envoy.type.v3.Percent"
ADDRESS = "envoy.config.core.v3.SocketAddress"
MATCH = "envoy.config.route.v3.RouteMatch"


@pytest.fixture(scope="module")
def schema() -> EnvoySchema:
    return load_schema("1.40.0")


TYPES: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    (MATCH, {"prefx": "/"}, [("prefx", 'is not a field of this message, did you mean "prefix"')]),
    (MATCH, {"qqqqqq": 1}, [("qqqqqq", "is not a field of this message")]),
    (MATCH, {"caseSensitive": True}, [("caseSensitive", 'is not a field: write "case_sensitive"')]),
    (MATCH, {"a b": 1}, [('["a b"]', "is not a field of this message")]),
    (MATCH, {"case_sensitive": "true"},
     [("case_sensitive", 'must be true or false, not "true"')]),
    (MATCH, {"headers": {"name": "x"}}, [("headers", "must be a list, not an object")]),
    (MATCH, {"headers": [None]}, [("headers[0]", "must be an object, not null")]),
    (CLUSTER, {"connect_timeout": "5m"},
     [("connect_timeout", 'must be a duration in seconds such as "0.25s", not "5m"')]),
    (CLUSTER, {"connect_timeout": "315576000001s"},
     [("connect_timeout", 'must be at most 315576000000 seconds, not "315576000001s"')]),
    (CLUSTER, {"lb_policy": "ROUND_ROBBIN"},
     [("lb_policy", '"ROUND_ROBBIN" is not one of its values, did you mean "ROUND_ROBIN"')]),
    (CLUSTER, {"alt_stat_name": "\ud800"},
     [("alt_stat_name", "must not contain half of a surrogate pair")]),
    (CLUSTER, {"metadata": {"filter_metadata": {"a": 1}}},
     [('metadata.filter_metadata["a"]', "must be an object, not 1")]),
    (CLUSTER, {"metadata": {"filter_metadata": {"a": {"b": [1, float("nan")]}}}},
     [('metadata.filter_metadata["a"]["b"][1]', "must be a number that fits, not NaN")]),
    (ADDRESS, {"address": "a", "port_value": -1},
     [("port_value", "must be an integer from 0 to 4294967295, not -1")]),
    (ADDRESS, {"address": "a", "port_value": 10**5000},
     [("port_value", "must be an integer from 0 to 4294967295, not a huge number")]),
    (PERCENT, {"value": 10**5000}, [("value", "must be a number that fits, not a huge number")]),
    (HEADER, {"key": "k", "raw_value": "*"}, [("raw_value", 'must be base64, not "*"')]),
]  # fmt: skip


@pytest.mark.parametrize(("type_name", "message", "expected"), TYPES)
def test_a_wrong_type_is_reported_at_its_path(
    schema: EnvoySchema, type_name: str, message: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    violations = schema.check(
        type_name, {"name": "c", **message} if type_name == CLUSTER else message
    )
    found = [(item.path, item.message) for item in violations]

    assert [item for item in found if not item[1].startswith("needs one of")] == expected


ANYS: list[tuple[object, list[tuple[str, str]]]] = [
    ({}, [('["@type"]', "is required: it is the type of the message")]),
    ({"@type": 5}, [('["@type"]', 'must start with "type.googleapis.com/", not 5')]),
    (
        {"@type": T + "envoy.Nope"},
        [('["@type"]', f'names a type that this Envoy does not have: "{T}envoy.Nope"')],
    ),
    ({"@type": ROUTER, "nope": 1}, [(".nope", "is not a field of this message")]),
    ({"@type": T + "google.protobuf.Duration", "value": "1s"}, []),
    ({"@type": T + "google.protobuf.Duration"}, [(".value", "is required")]),
    (
        {"@type": T + "google.protobuf.Struct", "value": {}, "x": 1},
        [('["x"]', 'is not a field here: the message is under "value"')],
    ),
    ({"@type": T + "google.protobuf.UInt32Value", "value": -1},
     [(".value", "must be an integer from 0 to 4294967295, not -1")]),
    ({"@type": T + "google.protobuf.Empty"}, []),
    ({"@type": T + "google.protobuf.Any", "value": {"@type": ROUTER, "dynamic_stats": "x"}},
     [(".value.dynamic_stats", 'must be true or false, not "x"')]),
    ([], [("", "must be an object, not a list")]),
]  # fmt: skip


@pytest.mark.parametrize(("payload", "expected"), ANYS)
def test_a_payload_is_checked_as_the_type_it_names(
    schema: EnvoySchema, payload: object, expected: list[tuple[str, str]]
) -> None:
    message = {"name": "x", "typed_config": payload}

    violations = schema.check("envoy.config.core.v3.TypedExtensionConfig", message)

    assert [(item.path, item.message) for item in violations] == [
        ("typed_config" + path, text) for path, text in expected
    ]


def test_all_violations_are_reported_in_document_order(schema: EnvoySchema) -> None:
    manager = {"@type": T + MANAGER, "stat_prefix": "", "stream_idle_timeout": 5}
    message = {
        "nam": "l",
        "filter_chains": [{"filters": [{"name": "", "typed_config": manager}]}],
        "address": {"socket_address": {"port_value": 1}},
    }

    assert schema.check("envoy.config.listener.v3.Listener", message) == (
        Violation("nam", 'is not a field of this message, did you mean "name"'),
        Violation("filter_chains[0].filters[0].name", "must have at least 1 character"),
        Violation(
            "filter_chains[0].filters[0].typed_config.stat_prefix",
            "must have at least 1 character",
        ),
        Violation(
            "filter_chains[0].filters[0].typed_config.stream_idle_timeout",
            'must be a duration in seconds such as "0.25s", not 5',
        ),
        Violation(
            "filter_chains[0].filters[0].typed_config",
            'needs one of "rds", "route_config", "scoped_routes"',
        ),
        Violation(
            "address.socket_address.address", "is required: it must have at least 1 character"
        ),
    )


def test_an_unknown_type_is_a_violation_of_the_message_itself(schema: EnvoySchema) -> None:
    assert schema.check(T + "envoy.Nope", {}) == (
        Violation("", f'"{T}envoy.Nope" is not a message type of Envoy 1.40.0'),
    )


def test_type_urls_and_bare_names_are_the_same_type(schema: EnvoySchema) -> None:
    assert schema.check(T + CLUSTER, {"name": ""}) == schema.check(CLUSTER, {"name": ""}) != ()


def test_a_payload_known_to_be_clean_is_found_broken_after_a_change(schema: EnvoySchema) -> None:
    listener = samples.listener()
    assert schema.check(samples.LISTENER, listener) == ()

    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"][4]["typed_config"]["dynamic_stats"] = 1

    assert schema.check(samples.LISTENER, listener) == (
        Violation(
            "filter_chains[0].filters[0].typed_config.http_filters[4].typed_config.dynamic_stats",
            "must be true or false, not 1",
        ),
    )


def test_remembered_payloads_are_bounded(schema: EnvoySchema) -> None:
    clean = type(schema._checks._clean)(limit=3)
    digests = [clean.digest({"n": number}) for number in range(5)]

    for digest in digests:
        clean.add(digest, 0)

    assert [clean.holds(digest, 0) for digest in digests] == [False, False, False, True, True]


def test_a_payload_remembered_near_the_surface_is_walked_again_deep_down(
    schema: EnvoySchema,
) -> None:
    clean = type(schema._checks._clean)(limit=3)
    digest = clean.digest({"a": 1})

    clean.add(digest, 2)

    assert clean.holds(digest, 1)
    assert not clean.holds(digest, 3)


def test_digests_tell_values_apart_that_json_or_python_hold_equal(schema: EnvoySchema) -> None:
    clean = schema._checks._clean
    values: list[Any] = [1, 1.0, True, "1", None, float("nan"), [1], {"a": 1}]

    assert len({clean.digest({"a": value}) for value in values}) == len(values)
    assert clean.digest({"a": object}) is None


def test_checking_leaves_the_message_as_it_was(schema: EnvoySchema) -> None:
    listener = samples.listener()
    before = copy.deepcopy(listener)

    schema.check(samples.LISTENER, listener)

    assert listener == before


def test_every_message_of_the_schema_can_be_checked(schema: EnvoySchema) -> None:
    """So no rule kind or pattern of this Envoy is without an implementation."""
    names = [
        f"{file.package}.{message.name}" for file in _files(schema) for message in file.message_type
    ]

    for name in names:
        descriptor = schema.pool.FindMessageTypeByName(name.removeprefix("."))
        for field in descriptor.fields:
            schema.check(descriptor.full_name, {field.name: object})

    assert len(names) > 1000


def _files(schema: EnvoySchema) -> Any:
    folder = resources.files("meshc.proto").joinpath("descriptors")
    packed = folder.joinpath(f"envoy-{schema.version}.binpb.zlib").read_bytes()
    return FileDescriptorSet.FromString(zlib.decompress(packed)).file
