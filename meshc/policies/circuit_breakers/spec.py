"""Circuit breakers as specs see them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt

from meshc.spec.fields import SpecModel
from meshc.spec.slices import Capability, In, PolicySpec, Scope

_LARGEST = 4_294_967_295
Limit = Annotated[StrictInt, Field(ge=1, le=_LARGEST)]


class CircuitBreakersSpec(SpecModel):
    """How much one calling Envoy sends to a service at once; what is above fails at once."""

    max_connections: Annotated[Limit | None, In(Scope.CLUSTER)] = Field(
        default=None,
        alias="maxConnections",
        description="Connections to all hosts together. Default: 1024.",
    )
    max_pending_requests: Annotated[
        Limit | None, In(Scope.CLUSTER, needs=Capability.HTTP_ROUTES)
    ] = Field(
        default=None,
        alias="maxPendingRequests",
        description="Requests that wait for a connection. Default: 1024.",
    )
    max_requests: Annotated[Limit | None, In(Scope.CLUSTER, needs=Capability.HTTP_ROUTES)] = Field(
        default=None,
        alias="maxRequests",
        description="Requests under way. Default: 1024.",
    )
    max_retries: Annotated[
        Annotated[StrictInt, Field(ge=0, le=_LARGEST)] | None,
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
