from __future__ import annotations

from tests.slices import compiled

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def test_upstreams_are_spoken_to_in_http_2_with_pings() -> None:
    options = compiled(protocol="HTTP2").cluster()["typed_extension_protocol_options"][_OPTIONS]

    assert options["explicit_http_config"] == {
        "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "10s"}}
    }


def test_the_own_application_is_spoken_to_in_http_2_too() -> None:
    cluster = compiled(protocol="HTTP2").cluster("inbound/api", node="api1")

    options = cluster["typed_extension_protocol_options"][_OPTIONS]
    assert "http2_protocol_options" in options["explicit_http_config"]


def test_a_listener_speaks_the_protocol_of_the_called_service() -> None:
    result = compiled(protocol="TCP")

    assert result.network_filter()["@type"].endswith(".TcpProxy")
    assert result.network_filter("inbound/web")["@type"].endswith(".HttpConnectionManager")
