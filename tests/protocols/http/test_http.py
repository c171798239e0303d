from __future__ import annotations

import json

import pytest

from tests.slices import OUTSIDE, compiled

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_OUTLIERS = {
    "error_matcher": {
        "http_response_headers_match": {
            "headers": [{"name": "x-meshc-failure", "present_match": True}]
        }
    }
}


def test_the_connection_manager_states_what_an_operator_has_to_know() -> None:
    manager = compiled().network_filter()
    (log,) = manager.pop("access_log")

    assert log["typed_config"]["path"] == "/var/log/envoy/outbound-api.log"
    assert manager == {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager"
        ".v3.HttpConnectionManager",
        "stat_prefix": "outbound/api",
        "codec_type": "AUTO",
        "rds": {
            "route_config_name": "outbound/api",
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": "/var/lib/meshc/envoy/services/api/rds-outbound.json"
                },
            },
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
        "common_http_protocol_options": {"idle_timeout": "3600s"},
        "http_protocol_options": {
            "accept_http_10": True,
            "default_host_for_http_10": "api",
            "ignore_http_11_upgrade": [{"prefix": "TLS/", "ignore_case": True}],
        },
        "http2_protocol_options": {
            "initial_stream_window_size": 1_048_576,
            "initial_connection_window_size": 1_073_741_824,
            "allow_connect": True,
        },
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "request_headers_timeout": "60s",
        "stream_idle_timeout": "0s",
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "server_header_transformation": "PASS_THROUGH",
    }


@pytest.mark.parametrize("protocol", ["HTTP2", "GRPC"])
def test_where_the_application_speaks_http_2_nothing_is_upgraded(protocol: str) -> None:
    result = compiled(protocol=protocol)

    for manager in (result.network_filter(), result.network_filter("inbound/api", "api1")):
        assert "upgrade_configs" not in manager
        assert "allow_connect" not in manager["http2_protocol_options"]


def test_directions_are_told_to_envoy() -> None:
    result = compiled()

    assert result.listener()["traffic_direction"] == "OUTBOUND"
    assert result.listener("inbound/web")["traffic_direction"] == "INBOUND"


def test_envoys_speak_http_2_with_each_other_and_find_each_other_dead() -> None:
    assert compiled().cluster()["typed_extension_protocol_options"][_OPTIONS] == {
        "@type": f"type.googleapis.com/{_OPTIONS}",
        "explicit_http_config": {
            "http2_protocol_options": {
                "connection_keepalive": {"interval": "0.5s", "timeout": "1.5s"},
                "initial_stream_window_size": 1_048_576,
                "initial_connection_window_size": 1_073_741_824,
                "allow_connect": True,
            }
        },
        "common_http_protocol_options": {
            "idle_timeout": "1800s",
            "max_response_headers_kb": 96,
        },
        "outlier_detection": _OUTLIERS,
    }


def test_applications_are_spoken_to_in_http_1() -> None:
    cluster = compiled().cluster("inbound/api", "api1")

    options = cluster["typed_extension_protocol_options"][_OPTIONS]
    assert options["explicit_http_config"] == {"http_protocol_options": {}}


def test_hosts_outside_the_mesh_are_spoken_to_in_http_1() -> None:
    cluster = compiled(called=OUTSIDE).cluster()

    assert cluster["typed_extension_protocol_options"][_OPTIONS] == {
        "@type": f"type.googleapis.com/{_OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": "1800s"},
        "outlier_detection": _OUTLIERS,
    }


def test_a_service_that_only_consul_knows_is_outside_the_mesh() -> None:
    calls = "from: consul\nprotocol: HTTP\n"
    cluster = compiled(dependency=calls, called=None).cluster("outbound/api@web")

    options = cluster["typed_extension_protocol_options"][_OPTIONS]
    assert options["explicit_http_config"] == {"http_protocol_options": {}}


def test_the_span_has_the_name_of_the_service() -> None:
    (resource,) = compiled().files["services/api/rds-outbound.json"]["resources"]

    assert resource["virtual_hosts"][0]["routes"][0]["decorator"] == {"operation": "api"}


def test_access_logs_can_be_switched_off() -> None:
    text = json.dumps(compiled(mesh="accessLog: {enabled: false}\n").files["nodes/web1/lds.json"])

    assert "access_log" not in text


def test_a_vanished_peer_is_noticed_on_both_sides() -> None:
    result = compiled()

    assert result.cluster()["upstream_connection_options"]["tcp_keepalive"] == {
        "keepalive_time": 60,
        "keepalive_interval": 10,
        "keepalive_probes": 3,
    }
    options = result.listener("inbound/web")["socket_options"]
    assert [(one["level"], one["name"], one["int_value"]) for one in options] == [
        (1, 9, 1),
        (6, 4, 60),
        (6, 5, 10),
        (6, 6, 3),
    ]
