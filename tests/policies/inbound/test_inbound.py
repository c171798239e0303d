from __future__ import annotations

import pytest

from tests.slices import OUTSIDE, compiled

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_NO_LIMIT = 4_294_967_295


@pytest.mark.parametrize("protocol", ["HTTP", "HTTP2", "GRPC", "TCP"])
def test_the_called_side_has_no_limit_of_its_own_unless_set(protocol: str) -> None:
    cluster = compiled(protocol=protocol).cluster("inbound/api", "api1")

    assert cluster["circuit_breakers"] == {
        "thresholds": [
            {
                "max_connections": _NO_LIMIT,
                "max_pending_requests": _NO_LIMIT,
                "max_requests": _NO_LIMIT,
            }
        ]
    }


def test_what_is_written_is_what_holds() -> None:
    said = "inbound: {maxConnections: 7, maxPendingRequests: 8, maxRequests: 9, idle: 250ms}"
    cluster = compiled(said).cluster("inbound/api", "api1")

    (thresholds,) = cluster["circuit_breakers"]["thresholds"]
    assert thresholds == {"max_connections": 7, "max_pending_requests": 8, "max_requests": 9}
    options = cluster["typed_extension_protocol_options"][_OPTIONS]
    assert options["common_http_protocol_options"] == {"idle_timeout": "0.25s"}


def test_a_service_lifts_what_the_mesh_limits() -> None:
    result = compiled(
        "inbound: {maxRequests: none}", mesh="defaults: {inbound: {maxRequests: 5, idle: 3s}}\n"
    )

    (thresholds,) = result.cluster("inbound/api", "api1")["circuit_breakers"]["thresholds"]
    (others,) = result.cluster("inbound/web")["circuit_breakers"]["thresholds"]
    assert (thresholds["max_requests"], others["max_requests"]) == (_NO_LIMIT, 5)


@pytest.mark.parametrize("protocol", ["HTTP", "HTTP2", "GRPC"])
def test_connections_to_the_application_are_given_up_before_it_closes_them(protocol: str) -> None:
    cluster = compiled(protocol=protocol).cluster("inbound/api", "api1")

    options = cluster["typed_extension_protocol_options"][_OPTIONS]
    assert options["common_http_protocol_options"] == {"idle_timeout": "1s"}


def test_who_connects_is_appended_to_who_the_request_is_for() -> None:
    result = compiled()

    assert result.routes("rds-inbound.json")[0]["request_headers_to_add"] == [
        {
            "header": {
                "key": "x-forwarded-for",
                "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
            },
            "append_action": "APPEND_IF_EXISTS_OR_ADD",
        }
    ]
    assert "use_remote_address" not in result.network_filter("inbound/api", "api1")
    assert all("request_headers_to_add" not in route for route in result.routes())


@pytest.mark.parametrize("hops", [0, 2])
def test_proxies_in_front_are_believed_as_far_as_a_spec_says(hops: int) -> None:
    result = compiled(f"inbound: {{trustedHops: {hops}}}")

    manager = result.network_filter("inbound/api", "api1")
    assert manager["use_remote_address"] is True
    assert manager["xff_num_trusted_hops"] == hops
    assert "request_headers_to_add" not in result.routes("rds-inbound.json")[0]
    assert "use_remote_address" not in result.network_filter()


def test_a_caller_has_no_say_in_it() -> None:
    assert compiled(dependency="inbound: {maxRequests: 5}").findings == [
        (
            "MC503",
            "web.yaml:9:3",
            (
                '"inbound" cannot stand here: the Envoys of "api" follow it, '
                "and a caller has no say in that"
            ),
        )
    ]


def test_a_service_outside_the_mesh_has_no_envoy_that_would_follow_it() -> None:
    (finding,) = compiled("inbound: {maxRequests: 5}", called=OUTSIDE).findings

    assert finding[:2] == ("MC503", "api.yaml:3:1")


def test_connections_of_bytes_are_not_idle_between_requests() -> None:
    (finding,) = compiled("inbound: {idle: 1s}", protocol="TCP").findings

    assert finding[:2] == ("MC501", "api.yaml:6:11")


def test_a_default_of_the_mesh_counts_where_a_service_is_called_by_nobody() -> None:
    result = compiled(mesh="defaults: {inbound: {idle: 2s}}\n", protocol="TCP")

    assert result.findings == []
