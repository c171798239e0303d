"""Circuit breakers in Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile.cluster import threshold
from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.compile.interfaces import Edit, Site
    from meshc.compile.resources import Message
    from meshc.policies.circuit_breakers.spec import CircuitBreakersSpec


def _cluster(value: CircuitBreakersSpec, cluster: Message, _site: Site) -> None:
    # Behind the retries, which have put their own limit there.
    breakers = cluster.setdefault("circuit_breakers", {"thresholds": [{}]})
    (thresholds,) = breakers["thresholds"]
    thresholds["track_remaining"] = True  # shows in metrics how near the limit is
    if value.max_connections is not None:
        thresholds["max_connections"] = threshold(value.max_connections)
    if value.max_pending_requests is not None:
        thresholds["max_pending_requests"] = threshold(value.max_pending_requests)
    if value.max_requests is not None:
        thresholds["max_requests"] = threshold(value.max_requests)
    if value.max_retries is not None:
        thresholds.pop("retry_budget", None)
        thresholds["max_retries"] = value.max_retries


EDITS: Mapping[Scope, Edit] = {Scope.CLUSTER: _cluster}
