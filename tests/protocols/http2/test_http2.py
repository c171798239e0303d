from __future__ import annotations

import pytest

from tests.slices import OUTSIDE, compiled

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@pytest.mark.parametrize("protocol", ["HTTP2", "GRPC"])
def test_envoys_ping_each_other(protocol: str) -> None:
    options = compiled(protocol=protocol).cluster()["typed_extension_protocol_options"][_OPTIONS]

    assert options["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"] == {
        "interval": "0.5s",
        "timeout": "1.5s",
    }


@pytest.mark.parametrize("protocol", ["HTTP2", "GRPC"])
def test_nobody_pings_applications_and_hosts_outside_the_mesh(protocol: str) -> None:
    application = compiled(protocol=protocol).cluster("inbound/api", node="api1")
    foreign = compiled(protocol=protocol, called=OUTSIDE).cluster()

    for cluster in (application, foreign):
        options = cluster["typed_extension_protocol_options"][_OPTIONS]
        assert options["explicit_http_config"] == {"http2_protocol_options": {}}


def test_a_listener_speaks_the_protocol_of_the_called_service() -> None:
    result = compiled(protocol="TCP")

    assert result.network_filter()["@type"].endswith(".TcpProxy")
    assert result.network_filter("inbound/web")["@type"].endswith(".HttpConnectionManager")
