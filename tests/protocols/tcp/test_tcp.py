from __future__ import annotations

from tests.slices import compiled


def test_bytes_are_passed_on_and_logged() -> None:
    proxy = compiled(protocol="TCP").network_filter()
    (log,) = proxy.pop("access_log")

    assert proxy == {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "outbound/api",
        "cluster": "outbound/api",
        "idle_timeout": "3600s",
        "max_connect_attempts": 7,
        "backoff_options": {"base_interval": "0.025s", "max_interval": "0.25s"},
    }
    assert sorted(log["typed_config"]["log_format"]["json_format"]) == [
        "bytes_received",
        "bytes_sent",
        "downstream",
        "duration_ms",
        "flags",
        "time",
        "upstream",
        "upstream_cluster",
        "upstream_failure",
    ]


def test_there_are_no_routes() -> None:
    assert not [path for path in compiled(protocol="TCP").files if "api/rds" in path]


def test_a_cluster_of_bytes_has_no_http_options() -> None:
    assert "typed_extension_protocol_options" not in compiled(protocol="TCP").cluster()
