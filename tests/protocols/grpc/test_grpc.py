from __future__ import annotations

from tests.slices import compiled


def test_calls_are_counted_by_their_grpc_status_before_they_are_routed() -> None:
    stats, router = compiled(protocol="GRPC").network_filter()["http_filters"]

    assert stats == {
        "name": "envoy.filters.http.grpc_stats",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
            "emit_filter_state": True,
            "stats_for_all_methods": False,
            "enable_upstream_stats": True,
        },
    }
    assert router["name"] == "envoy.filters.http.router"


def test_grpc_retries_use_grpc_conditions() -> None:
    result = compiled("retries: {on: [unavailable, cancelled]}", protocol="GRPC")

    assert result.route()["retry_policy"]["retry_on"] == "unavailable,cancelled"
