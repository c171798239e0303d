"""Input that nobody means well: the checker answers, in time, and never raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.proto import EnvoySchema, load_schema
from tests.proto import samples

T = "type.googleapis.com/"
ROUTER = T + "envoy.extensions.filters.http.router.v3.Router"
MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


@pytest.fixture(scope="module")
def schema() -> EnvoySchema:
    return load_schema("1.40.0")


NAMES = (
    *("@type", "name", "typed_config", "filter_chains", "filters", "value", "metadata"),
    *("filter_metadata", "load_assignment", "address", "match", "and_rules", "\ud800"),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["@type", ROUTER, T + MANAGER, "1s", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=30,
)


@pytest.mark.property
@settings(max_examples=300, deadline=None)
@given(
    message=st.dictionaries(
        st.sampled_from(["filter_chains", "metadata", "name"]) | st.text(), JSON
    )
)
def test_no_json_makes_the_checker_raise(schema: EnvoySchema, message: dict[str, Any]) -> None:
    violations = schema.check(samples.LISTENER, message)

    for item in violations:
        f"{item.path}: {item.message}".encode()


def _nested(depth: int) -> dict[str, Any]:
    message: dict[str, Any] = {"any_match": True}
    for _ in range(depth):
        message = {"not_match": message}
    return message


def test_messages_may_be_nested_a_hundred_times_and_no_more(schema: EnvoySchema) -> None:
    name = "envoy.config.listener.v3.ListenerFilterChainMatchPredicate"

    assert schema.check(name, _nested(99)) == ()
    (violation,) = schema.check(name, _nested(100))
    assert violation.path == ".".join(["not_match"] * 100)
    assert violation.message == "is nested too deeply: at most 100 messages within each other"
    assert len(schema.check(name, _nested(50_000))) == 1


def test_free_form_values_and_payloads_have_the_same_depth_limit(schema: EnvoySchema) -> None:
    free: Any = 1
    wrapped: Any = {"@type": ROUTER}
    for _ in range(50_000):
        free = [free]
        wrapped = {"@type": T + "google.protobuf.Any", "value": wrapped}

    found = schema.check("envoy.config.core.v3.Metadata", {"filter_metadata": {"a": {"b": free}}})
    assert [item.message[:20] for item in found] == ["is nested too deeply"]
    found = schema.check(
        "envoy.config.core.v3.TypedExtensionConfig", {"name": "x", "typed_config": wrapped}
    )
    assert [item.message[:20] for item in found] == ["is nested too deeply"]


def test_a_hundred_thousand_wrong_items_take_linear_time(schema: EnvoySchema) -> None:
    found = schema.check("envoy.config.core.v3.Metadata", {f"x{n}": 1 for n in range(2)})
    assert len(found) == 2

    items = [1] * 100_000
    found = schema.check("envoy.config.accesslog.v3.ResponseFlagFilter", {"flags": items})
    assert len(found) == 100_000
