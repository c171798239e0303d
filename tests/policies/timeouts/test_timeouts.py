from __future__ import annotations

import pytest

from tests.slices import compiled


def test_every_timeout_is_stated_even_if_nobody_set_one() -> None:
    result = compiled()

    assert result.route()["timeout"] == "15s"
    assert result.route()["idle_timeout"] == "300s"
    assert result.cluster()["connect_timeout"] == "1s"


def test_the_inbound_side_leaves_time_limits_to_the_caller() -> None:
    route = compiled().route("rds-inbound.json")

    assert (route["timeout"], route["idle_timeout"]) == ("0s", "0s")


def test_a_service_sets_the_timeouts_of_its_callers() -> None:
    result = compiled("timeouts: {connect: 250ms, request: 1.5s, idle: 2m}")

    assert result.route()["timeout"] == "1.5s"
    assert result.route()["idle_timeout"] == "120s"
    assert result.cluster()["connect_timeout"] == "0.25s"


def test_each_layer_overrides_single_fields_of_the_one_below() -> None:
    result = compiled(
        service="timeouts: {idle: 20s}",
        dependency="timeouts: {connect: 30ms}",
        mesh="defaults: {timeouts: {request: 10s, idle: 10s, connect: 10s}}",
    )

    assert result.route("rds-outbound@web.json")["timeout"] == "10s"
    assert result.route("rds-outbound@web.json")["idle_timeout"] == "20s"
    assert result.cluster("outbound/api@web")["connect_timeout"] == "0.03s"


def test_a_caller_that_overrides_only_routes_shares_the_cluster() -> None:
    result = compiled(dependency="timeouts: {request: 3s}")

    assert result.route("rds-outbound@web.json")["cluster"] == "outbound/api"
    assert result.route("rds-outbound@web.json")["timeout"] == "3s"
    assert result.route()["timeout"] == "15s"
    assert result.network_filter()["rds"]["route_config_name"] == "outbound/api@web"


@pytest.mark.parametrize(("said", "limit"), [("{}", "3600s"), ("{webSocket: 0s}", "0s")])
def test_a_websocket_may_be_silent_for_longer_than_a_request(said: str, limit: str) -> None:
    websocket, *others = compiled(f"timeouts: {said}").routes()

    assert websocket["match"] == {
        "prefix": "/",
        "headers": [
            {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
        ],
    }
    assert websocket["route"]["idle_timeout"] == limit
    assert [one["route"]["idle_timeout"] for one in others] == ["300s", "300s"]


def test_a_websocket_that_is_as_any_request_has_no_route_of_its_own() -> None:
    routes = compiled("timeouts: {webSocket: 5m}\nretries: {onIdempotent: []}").routes()

    assert [one["match"] for one in routes] == [{"prefix": "/"}]


@pytest.mark.parametrize("protocol", ["HTTP2", "GRPC", "TCP"])
def test_only_http_has_websockets(protocol: str) -> None:
    (finding,) = compiled("timeouts: {webSocket: 5m}", protocol=protocol).findings

    assert finding[:2] == ("MC501", "api.yaml:6:12")


def test_grpc_calls_have_no_limit_but_their_own_deadline() -> None:
    route = compiled(protocol="GRPC").route()

    assert route["timeout"] == "0s"
    assert route["idle_timeout"] == "0s"
    assert route["max_stream_duration"] == {"grpc_timeout_header_max": "0s"}


def test_an_idle_tcp_connection_is_closed_after_an_hour_or_as_said() -> None:
    assert compiled(protocol="TCP").network_filter()["idle_timeout"] == "3600s"
    said = compiled("timeouts: {idle: 0s}", protocol="TCP")
    assert said.network_filter()["idle_timeout"] == "0s"


def test_a_request_timeout_is_refused_for_tcp() -> None:
    assert compiled("timeouts: {request: 1s}", protocol="TCP").findings == [
        (
            "MC501",
            "api.yaml:6:12",
            (
                '"request" needs requests that a route can treat one by one, '
                'but service "api" speaks TCP'
            ),
        )
    ]


def test_a_mesh_wide_request_timeout_passes_tcp_services_by() -> None:
    result = compiled(mesh="defaults: {timeouts: {connect: 2s}}", protocol="TCP")

    assert result.findings == []
    assert result.cluster()["connect_timeout"] == "2s"


def test_connecting_for_ever_is_refused() -> None:
    assert compiled("timeouts: {connect: 0s}").findings == [
        ("MC204", "api.yaml:6:21", '"0s" is too short')
    ]
