from __future__ import annotations

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


def test_only_what_never_reached_the_application_is_retried_by_default() -> None:
    assert compiled().route()["retry_policy"] == {
        "num_retries": 2,
        "retry_on": "connect-failure,refused-stream,reset-before-request",
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
        "retry_host_predicate": _OTHER_HOSTS,
        "host_selection_retry_max_attempts": 3,
    }


def test_every_field_reaches_envoy() -> None:
    said = "retries: {attempts: 4, on: [5xx, reset], statusCodes: [503, 409, 503], "
    route = compiled(said + "perTryTimeout: 700ms, backoff: 1s}").route()

    assert route["retry_policy"] == {
        "num_retries": 4,
        "retry_on": "5xx,reset,retriable-status-codes",
        "retriable_status_codes": [409, 503],
        "per_try_timeout": "0.7s",
        "retry_back_off": {"base_interval": "1s", "max_interval": "10s"},
        "retry_host_predicate": _OTHER_HOSTS,
        "host_selection_retry_max_attempts": 3,
    }


def test_no_attempts_switch_retries_off() -> None:
    assert "retry_policy" not in compiled("retries: {attempts: 0}").route()


def test_a_caller_keeps_what_it_does_not_override() -> None:
    result = compiled("retries: {attempts: 5}", "retries: {backoff: 50ms}")

    policy = result.route("rds-outbound@web.json")["retry_policy"]
    assert policy["num_retries"] == 5
    assert policy["retry_back_off"]["base_interval"] == "0.05s"
    assert result.route()["retry_policy"]["retry_back_off"]["base_interval"] == "0.025s"


def test_the_inbound_side_never_retries() -> None:
    assert "retry_policy" not in compiled("retries: {attempts: 5}").route("rds-inbound.json")


def test_retries_are_refused_for_tcp() -> None:
    (finding,) = compiled("retries: {attempts: 1}", protocol="TCP").findings
    assert finding[:2] == ("MC501", "api.yaml:6:1")


def test_an_unknown_condition_is_refused_with_the_nearest_known() -> None:
    (finding,) = compiled("retries: {on: [5x]}").findings
    assert finding[:2] == ("MC204", "api.yaml:6:16")
