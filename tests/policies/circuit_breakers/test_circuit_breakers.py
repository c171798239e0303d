from __future__ import annotations

import pytest

from tests.slices import compiled


def test_the_limits_are_stated_even_if_nobody_set_one() -> None:
    assert compiled().cluster()["circuit_breakers"] == {
        "thresholds": [
            {
                "max_connections": 1024,
                "max_pending_requests": 1024,
                "max_requests": 1024,
                "max_retries": 4294967295,
                "track_remaining": True,
            }
        ]
    }


def test_every_field_reaches_envoy() -> None:
    said = "{maxConnections: 1, maxPendingRequests: 2, maxRequests: 3, maxRetries: 0}"
    assert compiled(f"circuitBreakers: {said}").cluster()["circuit_breakers"] == {
        "thresholds": [
            {
                "max_connections": 1,
                "max_pending_requests": 2,
                "max_requests": 3,
                "max_retries": 0,
                "track_remaining": True,
            }
        ]
    }


def test_a_limit_of_retries_holds_instead_of_the_budget() -> None:
    result = compiled("retries: {on: [5xx]}\ncircuitBreakers: {maxRetries: 9}")

    (thresholds,) = result.cluster()["circuit_breakers"]["thresholds"]
    assert thresholds["max_retries"] == 9
    assert "retry_budget" not in thresholds


def test_a_caller_with_limits_of_its_own_has_a_cluster_and_routes_of_its_own() -> None:
    result = compiled(dependency="circuitBreakers: {maxRequests: 7}")

    own = result.cluster("outbound/api@web")["circuit_breakers"]["thresholds"][0]
    assert (own["max_requests"], own["max_connections"]) == (7, 1024)
    assert result.route("rds-outbound@web.json")["cluster"] == "outbound/api@web"
    assert result.route()["cluster"] == "outbound/api"


@pytest.mark.parametrize(
    ("said", "connections", "waiting"),
    [
        ("{}", 1024, 1024),
        ("{maxConnections: 5000}", 5000, 5000),
        ("{maxConnections: none}", 4294967295, 4294967295),
        ("{maxConnections: 5000, maxPendingRequests: 20}", 5000, 20),
    ],
)
def test_as_many_tcp_connections_may_be_opened_at_once_as_there_may_be(
    said: str, connections: int, waiting: int
) -> None:
    cluster = compiled(f"circuitBreakers: {said}", protocol="TCP").cluster()

    assert cluster["circuit_breakers"] == {
        "thresholds": [
            {
                "max_connections": connections,
                "max_pending_requests": waiting,
                "track_remaining": True,
            }
        ]
    }


def test_a_limit_of_requests_is_refused_for_tcp() -> None:
    (finding,) = compiled("circuitBreakers: {maxRequests: 5}", protocol="TCP").findings
    assert finding[:2] == ("MC501", "api.yaml:6:19")


def test_the_own_application_is_reached_without_these_limits() -> None:
    result = compiled("circuitBreakers: {maxConnections: 5, maxRequests: 6}")

    (thresholds,) = result.cluster("inbound/api", "api1")["circuit_breakers"]["thresholds"]
    assert thresholds["max_connections"] == thresholds["max_requests"] == 4294967295


def test_a_limit_can_be_taken_away() -> None:
    result = compiled("circuitBreakers: {maxRequests: none, maxConnections: none}")

    (thresholds,) = result.cluster()["circuit_breakers"]["thresholds"]

    assert thresholds["max_connections"] == thresholds["max_requests"] == 4294967295
    assert thresholds["max_pending_requests"] == 1024
