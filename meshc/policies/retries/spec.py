"""Retries as specs see them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from meshc.spec.fields import Duration, SpecModel, at_least
from meshc.spec.slices import Capability, In, PolicySpec, Scope

RetryCondition = Literal[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "refused-stream",
    "retriable-4xx",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
]


class RetriesSpec(SpecModel):
    """When a failed request is sent again, and how often."""

    attempts: Annotated[Annotated[StrictInt, Field(ge=0, le=10)] | None, In(Scope.ACTION)] = Field(
        default=None,
        description="Retries after the first try, each on another host if there is one. "
        "0 switches retries off. Default: 2.",
    )
    on: Annotated[
        Annotated[tuple[RetryCondition, ...], Field(min_length=1)] | None, In(Scope.ACTION)
    ] = Field(
        default=None,
        description="Envoy's names of the failures that are retried. Default: connect-failure, "
        "refused-stream, reset-before-request, which never reached the application.",
    )
    status_codes: Annotated[
        Annotated[tuple[Annotated[StrictInt, Field(ge=200, le=599)], ...], Field(min_length=1)]
        | None,
        In(Scope.ACTION),
    ] = Field(
        default=None,
        alias="statusCodes",
        description="HTTP status codes that are retried as well.",
    )
    per_try_timeout: Annotated[Annotated[Duration, at_least("1ms")] | None, In(Scope.ACTION)] = (
        Field(
            default=None,
            alias="perTryTimeout",
            description="Longest time of one try. Default: the request timeout.",
        )
    )
    backoff: Annotated[Annotated[Duration, at_least("1ms")] | None, In(Scope.ACTION)] = Field(
        default=None,
        description="Mean pause before the first retry; it doubles with each one, up to ten "
        "times as much, with jitter. Default: 25ms.",
    )


SPEC = PolicySpec(
    key="retries",
    summary="which failed requests are sent again, how often, on another host",
    model=RetriesSpec,
    # These three failures happen before the request reaches the application, so repeating it
    # is safe for every method.
    defaults=RetriesSpec(
        attempts=2,
        on=("connect-failure", "refused-stream", "reset-before-request"),
        backoff=Duration(25),
    ),
    needs=frozenset({Capability.HTTP_ROUTES}),
)
