"""Circuit breakers in Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.compile.interfaces import Edit, Site
    from meshc.compile.resources import Message
    from meshc.policies.circuit_breakers.spec import CircuitBreakersSpec

# A fifth of the requests under way may be retries, and never fewer than three: retries help
# against single failures and never multiply the load of a service that is down.
_RETRY_BUDGET_PERCENT = 20.0
_RETRIES_AT_LEAST = 3


def _cluster(value: CircuitBreakersSpec, cluster: Message, _site: Site) -> None:
    thresholds: Message = {"track_remaining": True}  # shows in metrics how near the limit is
    if value.max_connections is not None:
        thresholds["max_connections"] = value.max_connections
    if value.max_pending_requests is not None:
        thresholds["max_pending_requests"] = value.max_pending_requests
    if value.max_requests is not None:
        thresholds["max_requests"] = value.max_requests
        if value.max_retries is None:
            thresholds["retry_budget"] = {
                "budget_percent": {"value": _RETRY_BUDGET_PERCENT},
                "min_retry_concurrency": _RETRIES_AT_LEAST,
            }
    if value.max_retries is not None:
        thresholds["max_retries"] = value.max_retries
    cluster["circuit_breakers"] = {"thresholds": [thresholds]}


EDITS: Mapping[Scope, Edit] = {Scope.CLUSTER: _cluster}
