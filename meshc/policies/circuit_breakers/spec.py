"""Circuit breakers as specs see them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt

from meshc.spec.fields import Limit, SpecModel
from meshc.spec.slices import Capability, In, PolicySpec, Scope


class CircuitBreakersSpec(SpecModel):
    """How much one calling Envoy sends to a service at once; what is above fails at once."""

    max_connections: Annotated[Limit | None, In(Scope.CLUSTER)] = Field(
        default=None,
        alias="maxConnections",
        description="Connections to all hosts together; none: no limit. Default: 1024.",
    )
    max_pending_requests: Annotated[
        Limit | None, In(Scope.CLUSTER, needs=Capability.HTTP_ROUTES)
    ] = Field(
        default=None,
        alias="maxPendingRequests",
        description="Requests that wait for a connection; none: no limit. Default: 1024.",
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


SPEC = PolicySpec(
    key="circuitBreakers",
    summary="how many connections, requests and retries a caller may have under way",
    model=CircuitBreakersSpec,
    defaults=CircuitBreakersSpec(
        max_connections=1_024, max_pending_requests=1_024, max_requests=1_024
    ),
)
