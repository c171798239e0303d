from __future__ import annotations

import pytest

from tests.slices import OUTSIDE, compiled

_PACE = {
    "interval": "2s",
    "no_traffic_interval": "2s",
    "timeout": "1s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
}


@pytest.mark.parametrize("protocol", ["HTTP", "HTTP2", "GRPC", "TCP"])
@pytest.mark.parametrize("said", ["", "healthChecks: {interval: 1s}"])
def test_nobody_is_asked_unless_there_is_something_to_ask(protocol: str, said: str) -> None:
    cluster = compiled(said, protocol=protocol).cluster()

    assert "health_checks" not in cluster
    assert "ignore_health_on_host_removal" not in cluster


@pytest.mark.parametrize("protocol", ["HTTP", "HTTP2"])
def test_an_application_is_asked_by_a_request_through_its_envoy(protocol: str) -> None:
    cluster = compiled("healthChecks: {http: {path: /healthz}}", protocol=protocol).cluster()

    assert cluster["health_checks"] == [
        {
            "http_health_check": {
                "path": "/healthz",
                "host": "api",
                "expected_statuses": [{"start": 200, "end": 300}],
                "codec_client_type": "HTTP2",
            },
            **_PACE,
        }
    ]
    assert cluster["ignore_health_on_host_removal"] is True


def test_a_host_outside_is_asked_in_its_own_protocol() -> None:
    (check,) = compiled("healthChecks: {http: {path: /}}", called=OUTSIDE).cluster()[
        "health_checks"
    ]

    assert check["http_health_check"]["codec_client_type"] == "HTTP1"


def test_every_field_reaches_envoy() -> None:
    said = (
        "healthChecks: {http: {path: /up, host: api.example.com, statuses: [401, 200, 401]}, "
        "interval: 500ms, timeout: 300ms, unhealthyAfter: 5, healthyAfter: 4}"
    )
    (check,) = compiled(said).cluster()["health_checks"]

    assert check == {
        "http_health_check": {
            "path": "/up",
            "host": "api.example.com",
            "expected_statuses": [{"start": 200, "end": 201}, {"start": 401, "end": 402}],
            "codec_client_type": "HTTP2",
        },
        "interval": "0.5s",
        "no_traffic_interval": "0.5s",
        "timeout": "0.3s",
        "unhealthy_threshold": 5,
        "healthy_threshold": 4,
    }


@pytest.mark.parametrize(
    ("said", "expected"), [("{}", {}), ("{service: shop.v1}", {"service_name": "shop.v1"})]
)
def test_a_grpc_server_is_asked_by_grpcs_own_check(said: str, expected: dict[str, str]) -> None:
    (check,) = compiled(f"healthChecks: {{grpc: {said}}}", protocol="GRPC").cluster()[
        "health_checks"
    ]

    assert check == {"grpc_health_check": expected, **_PACE}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{}", {}),
        ("{receive: '220'}", {"receive": [{"text": "323230"}]}),
        (
            '{send: "PING\\r\\n", receive: "+PONG"}',
            {"send": {"text": "50494e470d0a"}, "receive": [{"text": "2b504f4e47"}]},
        ),
    ],
)
def test_bytes_are_sent_and_must_come_back(said: str, expected: dict[str, object]) -> None:
    (check,) = compiled(f"healthChecks: {{tcp: {said}}}", protocol="TCP").cluster()["health_checks"]

    assert check == {"tcp_health_check": expected, **_PACE}


def test_defaults_of_the_mesh_ask_each_protocol_in_its_own_way() -> None:
    mesh = "defaults: {healthChecks: {http: {path: /h}, grpc: {}, tcp: {}}}\n"
    for protocol, kind in (("HTTP", "http"), ("HTTP2", "http"), ("GRPC", "grpc"), ("TCP", "tcp")):
        (check,) = compiled(mesh=mesh, protocol=protocol).cluster()["health_checks"]
        assert f"{kind}_health_check" in check


@pytest.mark.parametrize(
    ("protocol", "said"), [("TCP", "http: {path: /}"), ("HTTP", "grpc: {}"), ("GRPC", "tcp: {}")]
)
def test_no_protocol_is_asked_in_the_way_of_another(protocol: str, said: str) -> None:
    (finding,) = compiled(f"healthChecks: {{{said}}}", protocol=protocol).findings

    assert finding[:2] == ("MC501", "api.yaml:6:16")


def test_a_caller_that_asks_has_a_cluster_of_its_own() -> None:
    result = compiled(dependency="healthChecks: {http: {path: /}}")

    assert "health_checks" in result.cluster("outbound/api@web")
