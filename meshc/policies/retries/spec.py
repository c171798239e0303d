"""Retries as specs see them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from meshc.spec.fields import Duration, SpecModel, at_least
from meshc.spec.sizes import Size
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

HARMLESS = frozenset({"connect-failure", "refused-stream", "reset-before-request"})
"""Failures before a request reaches the application: repeating it is safe for every method, and
cannot multiply the application's load."""

_FAILING_OVER = frozenset({"reset"})
"""Ends with the host or the application that it happened to; what is under way on a host that goes
away has been its load, and is that of others once."""

_BACKOFF_BETWEEN_HOSTS = Duration(1)
"""The shortest that Envoy has; the next try goes to another host, which nothing has slowed down."""
_ATTEMPTS = 4
_ATTEMPTS_OF_CONNECTIONS = 6
_BACKOFF_OF_CONNECTIONS = Duration(25)
"""Envoy does not remember which hosts a connection has tried; of a burst of them some would draw a
host that is down each time, before it is known to be down, which takes longer on a busy machine."""
_BACKOFF = Duration(25)
_BUDGET_PERCENT = 20


class RetriesSpec(SpecModel):
    """When a failed request is sent again, and how often."""

    attempts: Annotated[
        Annotated[StrictInt, Field(ge=0, le=10)] | None,
        In(Scope.ACTION, Scope.PROXY),
    ] = Field(
        default=None,
        description="Retries after the first try, each on another host if there is one; for TCP "
        "connections that could not be opened. 0 switches retries off. Default: 4; for "
        "TCP 6, because a host may be drawn twice.",
    )
    on: Annotated[
        Annotated[tuple[RetryCondition, ...], Field(min_length=1)] | None,
        In(Scope.ACTION, Scope.CLUSTER, needs=Capability.HTTP_ROUTES),
    ] = Field(
        default=None,
        description="Envoy's names of the failures that are retried. Default: connect-failure, "
        "refused-stream, reset-before-request, which never reached the "
        "application; connect-failure includes an application that its own Envoy cannot reach.",
    )
    on_idempotent: Annotated[
        tuple[RetryCondition, ...] | None,
        In(Scope.IDEMPOTENT_ACTION, Scope.CLUSTER, needs=Capability.METHODS),
    ] = Field(
        default=None,
        alias="onIdempotent",
        description="What is retried besides for GET, HEAD, OPTIONS, TRACE, PUT and DELETE, whose "
        "repetition is safe (RFC 9110); [] for nothing. Default: reset, which is every connection "
        "that ends before an answer begins.",
    )
    status_codes: Annotated[
        Annotated[tuple[Annotated[StrictInt, Field(ge=200, le=599)], ...], Field(min_length=1)]
        | None,
        In(Scope.ACTION, Scope.CLUSTER, needs=Capability.HTTP_ROUTES),
    ] = Field(
        default=None,
        alias="statusCodes",
        description="HTTP status codes that are retried as well.",
    )
    per_try_timeout: Annotated[
        Annotated[Duration, at_least("1ms")] | None,
        In(Scope.ACTION, needs=Capability.HTTP_ROUTES),
    ] = Field(
        default=None,
        alias="perTryTimeout",
        description="Longest time of one try. Default: the request timeout.",
    )
    backoff: Annotated[
        Annotated[Duration, at_least("1ms")] | None,
        In(Scope.ACTION, Scope.PROXY),
    ] = Field(
        default=None,
        description="Longest pause before the first retry; it doubles with each one, up to ten "
        "times as much, with jitter. Default: 1ms, so that another host is tried at once; 25ms "
        "for TCP, and where failures are retried that may have reached the application.",
    )
    budget: Annotated[
        Annotated[StrictInt, Field(ge=1, le=100)] | Literal["none"] | None,
        In(Scope.CLUSTER, needs=Capability.HTTP_ROUTES),
    ] = Field(
        default=None,
        description="How many percent of the requests under way may be retries, and never fewer "
        "than 3; none: any number. Default: none; 20 where failures are retried that may have "
        "reached the application, so that retries cannot multiply its load.",
    )
    body_buffer: Annotated[Size | None, In(Scope.ROUTE, needs=Capability.HTTP_ROUTES)] = Field(
        default=None,
        alias="bodyBuffer",
        description="How much of a request's body the caller's Envoy keeps, so that it can be sent "
        "again. A request of which more has been sent is not retried. Each request under way may "
        "take so much memory; over HTTP/1.1 that is one for each connection. Default: 16MiB.",
    )


def _derive(value: RetriesSpec) -> dict[str, object]:
    """Return how often, and pause and budget: what reached no application needs neither."""
    if value.on is None:  # connections, not requests
        return {"attempts": _ATTEMPTS_OF_CONNECTIONS, "backoff": _BACKOFF_OF_CONNECTIONS}
    for_some = {*(value.on_idempotent or ())} - _FAILING_OVER
    if HARMLESS.issuperset({*value.on, *for_some}) and not value.status_codes:
        return {"attempts": _ATTEMPTS, "backoff": _BACKOFF_BETWEEN_HOSTS, "budget": "none"}
    return {"attempts": _ATTEMPTS, "backoff": _BACKOFF, "budget": _BUDGET_PERCENT}


SPEC = PolicySpec(
    key="retries",
    summary="which failed requests and connections are tried again, how often, on another host",
    model=RetriesSpec,
    defaults=RetriesSpec(
        on=("connect-failure", "refused-stream", "reset-before-request"),
        on_idempotent=("reset",),
        body_buffer=Size(16 << 20),
    ),
    derive=_derive,
)
