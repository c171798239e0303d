from __future__ import annotations

import pytest

from tests.slices import OUTSIDE, compiled

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MARKED = {
    "http_response_headers_match": {"headers": [{"name": "x-meshc-failure", "present_match": True}]}
}


@pytest.mark.parametrize("protocol", ["HTTP", "HTTP2", "GRPC", "TCP"])
def test_a_host_that_fails_gets_nothing_for_a_while_even_if_nobody_says_so(protocol: str) -> None:
    assert compiled(protocol=protocol).cluster()["outlier_detection"] == {
        "consecutive_5xx": 2,
        "enforcing_consecutive_5xx": 100,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "30s",
        "max_ejection_time": "120s",
        "max_ejection_percent": 50,
    }


def test_every_field_reaches_envoy() -> None:
    said = "{consecutiveFailures: 7, statusCodes: [503, 502, 503], ejectionTime: 5s, "
    cluster = compiled(
        f"outlierDetection: {said}maxEjectionTime: 2m, maxEjectedPercent: 20}}"
    ).cluster()

    found = cluster["outlier_detection"]
    assert (found["consecutive_5xx"], found["max_ejection_percent"]) == (7, 20)
    assert (found["base_ejection_time"], found["max_ejection_time"]) == ("5s", "120s")
    options = cluster["typed_extension_protocol_options"][_OPTIONS]
    status = {"name": ":status", "string_match": {"safe_regex": {"regex": "502|503"}}}
    assert options["outlier_detection"] == {
        "error_matcher": {
            "or_match": {"rules": [_MARKED, {"http_response_headers_match": {"headers": [status]}}]}
        }
    }


@pytest.mark.parametrize("hosts", ["inside", "outside"])
def test_what_an_application_answers_is_an_answer(hosts: str) -> None:
    result = compiled(called=OUTSIDE) if hosts == "outside" else compiled()

    options = result.cluster()["typed_extension_protocol_options"][_OPTIONS]
    assert options["outlier_detection"] == {"error_matcher": _MARKED}


def test_it_can_be_switched_off_by_a_caller() -> None:
    result = compiled(dependency="outlierDetection: {enabled: false}")

    own = result.cluster("outbound/api@web")
    assert "outlier_detection" not in own
    assert "outlier_detection" not in own["typed_extension_protocol_options"][_OPTIONS]


def test_the_own_application_is_never_left_alone() -> None:
    assert "outlier_detection" not in compiled().cluster("inbound/api", "api1")


def test_the_first_time_is_not_longer_than_the_longest() -> None:
    assert compiled("outlierDetection: {ejectionTime: 5m, maxEjectionTime: 2m}").findings == [
        (
            "MC504",
            "api.yaml:6:34",
            "ejectionTime is 300s, longer than maxEjectionTime, 120s",
        )
    ]


@pytest.mark.parametrize(
    ("said", "first", "longest"),
    [
        ("ejectionTime: 5m", "300s", "300s"),
        ("ejectionTime: 5s", "5s", "120s"),
        ("maxEjectionTime: 10s", "10s", "10s"),
        ("maxEjectionTime: 5m", "30s", "300s"),
    ],
)
def test_who_says_one_of_both_times_need_not_say_the_other(
    said: str, first: str, longest: str
) -> None:
    result = compiled(f"outlierDetection: {{{said}}}")

    assert result.findings == []
    found = result.cluster()["outlier_detection"]
    assert (found["base_ejection_time"], found["max_ejection_time"]) == (first, longest)


def test_bytes_have_no_status() -> None:
    (finding,) = compiled("outlierDetection: {statusCodes: [503]}", protocol="TCP").findings

    assert finding[:2] == ("MC501", "api.yaml:6:20")
