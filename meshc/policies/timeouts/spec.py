"""Timeouts as specs see them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from meshc.spec.fields import Duration, SpecModel, at_least
from meshc.spec.slices import Capability, In, PolicySpec, Scope


class TimeoutsSpec(SpecModel):
    """How long a caller waits; ``0s`` means for ever where it is allowed."""

    connect: Annotated[Annotated[Duration, at_least("1ms")] | None, In(Scope.CLUSTER)] = Field(
        default=None,
        description="Longest time to open a connection. Default: connectTimeout of mesh.yaml.",
    )
    request: Annotated[Duration | None, In(Scope.ACTION, needs=Capability.HTTP_ROUTES)] = Field(
        default=None,
        description="Longest time from the end of the request to the end of the response, "
        "retries included. 0s: no limit. Default: 15s, for GRPC 0s.",
    )
    idle: Annotated[Duration | None, In(Scope.ACTION, Scope.PROXY)] = Field(
        default=None,
        description="Longest silence within one request (HTTP) or connection (TCP). "
        "0s: no limit. Default: 5m for requests, 1h for connections, for GRPC 0s.",
    )
    web_socket: Annotated[
        Duration | None, In(Scope.WEBSOCKET_ACTION, needs=Capability.UPGRADES)
    ] = Field(
        default=None,
        alias="webSocket",
        description="Longest silence on a WebSocket. 0s: no limit. Default: 1h.",
    )


SPEC = PolicySpec(
    key="timeouts",
    summary="how long a caller waits for a connection, an answer, the next byte",
    model=TimeoutsSpec,
    defaults=TimeoutsSpec(
        request=Duration(15_000), idle=Duration(300_000), web_socket=Duration(3_600_000)
    ),
)
