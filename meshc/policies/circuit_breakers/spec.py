"""Circuit breakers as specs see them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt

from meshc.spec.fields import Limit, SpecModel
from meshc.spec.slices import Capability, In, PolicySpec, Scope

_WAITING = 1_024


class CircuitBreakersSpec(SpecModel):
    """How much one calling Envoy sends to a service at once; what is above fails at once."""

    max_connections: Annotated[Limit | None, In(Scope.CLUSTER)] = Field(
        default=None,
        alias="maxConnections",
        description="Connections to all hosts together; none: no limit. Default: 1024.",
    )
    max_pending_requests: Annotated[Limit | None, In(Scope.CLUSTER)] = Field(
        default=None,
        alias="maxPendingRequests",
        description="Requests, or for TCP connections, that wait for a connection; none: no "
        "limit. Default: 1024, for TCP as many as maxConnections.",
    )
    max_requests: Annotated[Limit | None, In(Scope.CLUSTER, needs=Capability.HTTP_ROUTES)] = Field(
        default=None,
        alias="maxRequests",
        description="Requests under way; none: no limit. Default: 1024.",
    )
    max_retries: Annotated[
        Annotated[StrictInt, Field(ge=0, le=4_294_967_295)] | None,
        In(Scope.CLUSTER, needs=Capability.HTTP_ROUTES),
    ] = Field(
        default=None,
        alias="maxRetries",
        description="Retries under way; holds instead of retries.budget. Default: that.",
    )


def _derive(value: CircuitBreakersSpec) -> dict[str, object]:
    """Return how many may wait: of connections that pass bytes on, as many as there may be."""
    has_requests = value.max_requests is not None
    return {"max_pending_requests": _WAITING if has_requests else value.max_connections}


SPEC = PolicySpec(
    key="circuitBreakers",
    summary="how many connections, requests and retries a caller may have under way",
    model=CircuitBreakersSpec,
    defaults=CircuitBreakersSpec(max_connections=1_024, max_requests=1_024),
    derive=_derive,
)
