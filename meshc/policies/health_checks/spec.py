"""Active health checks as specs see them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt, StrictStr

from meshc.spec.fields import Duration, SpecModel, at_least
from meshc.spec.slices import Capability, In, PolicySpec, Scope

_Text = Annotated[StrictStr, Field(min_length=1, max_length=1_024)]
_Status = Annotated[StrictInt, Field(ge=100, le=599)]


class HttpCheckSpec(SpecModel):
    """A request that a healthy application answers."""

    path: Annotated[StrictStr, Field(pattern=r"^/[!-~]*$", max_length=1_024)] = Field(
        description="Path that is asked for, for example /healthz."
    )
    host: Annotated[StrictStr, Field(pattern=r"^[!-~]{1,253}$")] | None = Field(
        default=None, description="What is sent as Host. Default: the name of the service."
    )
    statuses: Annotated[tuple[_Status, ...], Field(min_length=1)] | None = Field(
        default=None, description="Answers of a healthy application. Default: 200 to 299."
    )


class GrpcCheckSpec(SpecModel):
    """A call of gRPC's own health service (grpc.health.v1.Health)."""

    service: Annotated[StrictStr, Field(max_length=1_024)] = Field(
        default="", description="Name that is asked for; without one the whole server is."
    )


class TcpCheckSpec(SpecModel):
    """A connection, and what is said on it."""

    send: _Text | None = Field(default=None, description="Text that is sent first.")
    receive: _Text | None = Field(
        default=None,
        description="Text that a healthy application answers with, or says by itself. Without it "
        "a connection is enough, which the Envoy of a host always takes.",
    )


class HealthChecksSpec(SpecModel):
    """How a caller's Envoy asks each host, through the host's own Envoy, how it is.

    Off unless there is something to ask; each protocol has its own.
    """

    http: Annotated[HttpCheckSpec | None, In(Scope.CLUSTER, needs=Capability.METHODS)] = Field(
        default=None, description="For HTTP and HTTP2: what is requested."
    )
    grpc: Annotated[GrpcCheckSpec | None, In(Scope.CLUSTER, needs=Capability.GRPC_CALLS)] = Field(
        default=None, description="For GRPC: gRPC's own health check; {} asks for the whole server."
    )
    tcp: Annotated[TcpCheckSpec | None, In(Scope.CLUSTER, needs=Capability.BYTE_STREAMS)] = Field(
        default=None, description="For TCP: what is sent and must come back."
    )
    interval: Annotated[Annotated[Duration, at_least("100ms")] | None, In(Scope.CLUSTER)] = Field(
        default=None,
        description="Pause between two checks of a host by one caller. Default: 2s.",
    )
    timeout: Annotated[Annotated[Duration, at_least("1ms")] | None, In(Scope.CLUSTER)] = Field(
        default=None, description="Longest wait for an answer. Default: 1s."
    )
    unhealthy_after: Annotated[
        Annotated[StrictInt, Field(ge=1, le=100)] | None, In(Scope.CLUSTER)
    ] = Field(
        default=None,
        alias="unhealthyAfter",
        description="So many checks in a row without an answer, and the host gets nothing; a wrong "
        "answer is enough at once. Default: 2.",
    )
    healthy_after: Annotated[
        Annotated[StrictInt, Field(ge=1, le=100)] | None, In(Scope.CLUSTER)
    ] = Field(
        default=None,
        alias="healthyAfter",
        description="So many right answers in a row, and it gets its share again. Default: 1.",
    )


def _derive(value: HealthChecksSpec) -> dict[str, object]:
    """Return the pace, where there is something to ask."""
    if value.http is None and value.grpc is None and value.tcp is None:
        return {}
    return {
        "interval": Duration(2_000),
        "timeout": Duration(1_000),
        "unhealthy_after": 2,
        "healthy_after": 1,
    }


SPEC = PolicySpec(
    key="healthChecks",
    summary="how callers ask each host how it is, and when it gets nothing",
    model=HealthChecksSpec,
    defaults=HealthChecksSpec(),
    derive=_derive,
)
