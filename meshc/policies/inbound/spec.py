"""The called side as specs see it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt

from meshc.spec.fields import Duration, Limit, SpecModel, at_least
from meshc.spec.slices import Capability, In, PolicySpec, Scope, Side


class InboundSpec(SpecModel):
    """How the Envoy of each host hands what comes in to its application."""

    max_connections: Annotated[Limit | None, In(Scope.CLUSTER)] = Field(
        default=None,
        alias="maxConnections",
        description="Connections to the application of one host. none: no limit. Default: none.",
    )
    max_pending_requests: Annotated[Limit | None, In(Scope.CLUSTER)] = Field(
        default=None,
        alias="maxPendingRequests",
        description="Requests, or for TCP connections, that wait for a connection to the "
        "application. none: no limit. Default: none.",
    )
    max_requests: Annotated[Limit | None, In(Scope.CLUSTER, needs=Capability.HTTP_ROUTES)] = Field(
        default=None,
        alias="maxRequests",
        description="Requests under way in the application of one host; what is above is answered "
        "503 at once. none: no limit. Default: none.",
    )
    idle: Annotated[
        Annotated[Duration, at_least("1ms")] | None,
        In(Scope.UPSTREAM, needs=Capability.HTTP_ROUTES),
    ] = Field(
        default=None,
        description="How long a connection to the application is kept without a request. Shorter "
        "than the application itself keeps it, or a request meets a connection that is just being "
        "closed. Default: 1s.",
    )
    trusted_hops: Annotated[
        Annotated[StrictInt, Field(ge=0, le=10)] | None,
        In(Scope.MANAGER, Scope.ROUTE, needs=Capability.HTTP_ROUTES),
    ] = Field(
        default=None,
        alias="trustedHops",
        description="For a service that is called from outside the mesh: so many proxies stand "
        "before it, each of which appends its client to X-Forwarded-For. The address before theirs "
        "is the client's, in access logs too; with 0 it is the one that connects, and what it "
        "claims in X-Forwarded-Proto counts for nothing. Default: all that comes is passed on, the "
        "one that connects is appended.",
    )


SPEC = PolicySpec(
    key="inbound",
    summary="how much each host's own Envoy hands to its application at once, and how",
    model=InboundSpec,
    # The shortest that a common server keeps a silent connection is 2 s (gunicorn); opening one on
    # the same host costs next to nothing.
    defaults=InboundSpec(
        max_connections="none",
        max_pending_requests="none",
        max_requests="none",
        idle=Duration(1_000),
    ),
    side=Side.CALLED,
)
