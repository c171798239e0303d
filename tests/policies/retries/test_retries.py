from __future__ import annotations

import pytest

from tests.slices import compiled

_OTHER_HOSTS = [
    {
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3"
            ".PreviousHostsPredicate"
        },
    }
]


_UNREACHED = {"name": "x-meshc-failure", "string_match": {"exact": "unreached"}}


def _budget(percent: float) -> dict[str, object]:
    return {"budget_percent": {"value": percent}, "min_retry_concurrency": 3}


def test_only_what_never_reached_the_application_is_retried_by_default() -> None:
    assert compiled().route()["retry_policy"] == {
        "num_retries": 4,
        "retry_on": "connect-failure,refused-stream,reset-before-request,retriable-headers",
        "retriable_headers": [_UNREACHED],
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.01s"},
        "retry_host_predicate": _OTHER_HOSTS,
        "host_selection_retry_max_attempts": 130,
    }


def test_every_field_reaches_envoy() -> None:
    said = "retries: {attempts: 4, on: [5xx, reset], statusCodes: [503, 409, 503], "
    route = compiled(said + "perTryTimeout: 700ms, backoff: 1s}").route()

    assert route["retry_policy"] == {
        "num_retries": 4,
        "retry_on": "5xx,reset,retriable-headers,retriable-status-codes",
        "retriable_headers": [{"name": "x-meshc-failure", "present_match": True}],
        "retriable_status_codes": [409, 503],
        "per_try_timeout": "0.7s",
        "retry_back_off": {"base_interval": "1s", "max_interval": "10s"},
        "retry_host_predicate": _OTHER_HOSTS,
        "host_selection_retry_max_attempts": 130,
    }


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("{}", {"max_retries": 4294967295}),
        ("{on: [connect-failure, refused-stream]}", {"max_retries": 4294967295}),
        ("{on: [connect-failure, 5xx]}", {"retry_budget": _budget(20.0)}),
        ("{statusCodes: [503]}", {"retry_budget": _budget(20.0)}),
        ("{on: [connect-failure, reset]}", {"retry_budget": _budget(20.0)}),
        ("{onIdempotent: [reset, connect-failure]}", {"max_retries": 4294967295}),
        ("{onIdempotent: [gateway-error]}", {"retry_budget": _budget(20.0)}),
        ("{budget: 35}", {"retry_budget": _budget(35.0)}),
        ("{statusCodes: [503], budget: none}", {"max_retries": 4294967295}),
    ],
)
def test_a_budget_stands_only_before_retries_that_may_multiply_load(
    said: str, limit: dict[str, object]
) -> None:
    (thresholds,) = compiled(f"retries: {said}").cluster()["circuit_breakers"]["thresholds"]

    found = {key: value for key, value in thresholds.items() if "retr" in key}
    assert found == limit


def test_failures_that_may_have_reached_the_application_are_retried_after_a_pause() -> None:
    route = compiled("retries: {on: [5xx]}").route()

    assert route["retry_policy"]["retry_back_off"] == {
        "base_interval": "0.025s",
        "max_interval": "0.25s",
    }


def test_a_caller_that_retries_more_has_a_budget_of_its_own() -> None:
    result = compiled(dependency="retries: {statusCodes: [503]}")

    (own,) = result.cluster("outbound/api@web")["circuit_breakers"]["thresholds"]
    assert own["retry_budget"] == _budget(20.0)
    assert result.route("rds-outbound@web.json")["cluster"] == "outbound/api@web"


def test_an_application_that_is_down_behind_its_envoy_counts_as_a_connection_failure() -> None:
    with_it = compiled("retries: {on: [connect-failure, 5xx]}").route()["retry_policy"]
    without = compiled("retries: {on: [5xx]}").route()["retry_policy"]

    assert with_it["retry_on"] == "connect-failure,5xx,retriable-headers"
    assert with_it["retriable_headers"] == [_UNREACHED]
    assert without["retry_on"] == "5xx"
    assert "retriable_headers" not in without


def test_what_is_safe_to_repeat_is_repeated_after_a_reset_too() -> None:
    result = compiled()

    _, safe, anything = result.routes()
    assert safe["match"] == {
        "prefix": "/",
        "headers": [
            {
                "name": ":method",
                "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS|TRACE|PUT|DELETE"}},
            }
        ],
    }
    assert anything["match"] == {"prefix": "/"}
    policy = safe["route"]["retry_policy"]
    assert policy["retry_on"] == (
        "connect-failure,refused-stream,reset-before-request,reset,retriable-headers"
    )
    assert policy["retriable_headers"] == [{"name": "x-meshc-failure", "present_match": True}]
    different = {"retry_on", "retriable_headers"}
    general = anything["route"]["retry_policy"]
    assert {key: value for key, value in policy.items() if key not in different} == {
        key: value for key, value in general.items() if key not in different
    }
    assert {**safe["route"], "retry_policy": {}} == {**anything["route"], "retry_policy": {}}


@pytest.mark.parametrize("said", ["{onIdempotent: []}", "{attempts: 0}"])
def test_one_route_is_enough_where_all_requests_are_treated_alike(said: str) -> None:
    routes = compiled(f"retries: {said}\ntimeouts: {{webSocket: 5m}}").routes()

    assert [one["match"] for one in routes] == [{"prefix": "/"}]


def test_no_method_says_that_a_grpc_call_is_safe_to_repeat() -> None:
    result = compiled(protocol="GRPC")
    (finding,) = compiled("retries: {onIdempotent: [reset]}", protocol="GRPC").findings

    assert len(result.routes()) == 1
    assert finding[:2] == ("MC501", "api.yaml:6:11")


@pytest.mark.parametrize(("said", "count"), [("{}", 16_777_216), ("{bodyBuffer: 64KiB}", 65_536)])
def test_bodies_are_kept_up_to_a_stated_size(said: str, count: int) -> None:
    limits = [one["request_body_buffer_limit"] for one in compiled(f"retries: {said}").routes()]

    assert limits == [count, count, count]


def test_no_attempts_switch_retries_off() -> None:
    assert "retry_policy" not in compiled("retries: {attempts: 0}").route()


def test_a_caller_keeps_what_it_does_not_override() -> None:
    result = compiled("retries: {attempts: 5}", "retries: {backoff: 50ms}")

    policy = result.route("rds-outbound@web.json")["retry_policy"]
    assert policy["num_retries"] == 5
    assert policy["retry_back_off"]["base_interval"] == "0.05s"
    assert result.route()["retry_policy"]["retry_back_off"]["base_interval"] == "0.001s"


def test_the_inbound_side_never_retries() -> None:
    assert "retry_policy" not in compiled("retries: {attempts: 5}").route("rds-inbound.json")


@pytest.mark.parametrize(
    ("said", "in_all"),
    [
        ("", 7),
        ("retries: {attempts: 1}", 2),
        ("retries: {attempts: 7}", 8),
        ("retries: {attempts: 0}", None),
    ],
)
def test_a_tcp_connection_is_tried_again_until_one_opens(said: str, in_all: int | None) -> None:
    result = compiled(said, protocol="TCP")

    assert result.findings == []
    proxy = result.network_filter()
    assert proxy.get("max_connect_attempts") == in_all
    pauses = {"base_interval": "0.025s", "max_interval": "0.25s"}
    assert proxy.get("backoff_options") == (pauses if in_all else None)


def test_the_called_side_tries_its_application_once() -> None:
    result = compiled("retries: {attempts: 7}", protocol="TCP")

    assert "max_connect_attempts" not in result.network_filter("inbound/api", "api1")


def test_bytes_are_not_repeated() -> None:
    (finding,) = compiled("retries: {on: [reset]}", protocol="TCP").findings
    assert finding[:2] == ("MC501", "api.yaml:6:11")


def test_an_unknown_condition_is_refused_with_the_nearest_known() -> None:
    (finding,) = compiled("retries: {on: [5x]}").findings
    assert finding[:2] == ("MC204", "api.yaml:6:16")
