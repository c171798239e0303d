"""Outlier detection as specs see it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool, StrictInt

from meshc.spec.fields import Duration, SpecModel, at_least
from meshc.spec.slices import Capability, In, PolicyProblem, PolicySpec, Scope

_FIRST, _LONGEST = Duration(30_000), Duration(120_000)
"""Each time that a host which is still gone comes back, some requests wait for it: often enough to
find it again soon, seldom enough not to be seen in the slowest hundredth."""


class OutlierDetectionSpec(SpecModel):
    """When a caller's Envoy leaves a host alone for a while, because of what happened with it.

    Failures are connections that cannot be opened or end before an answer, answers that do not
    come in time, and those of the host's Envoy that it cannot reach the application.  An answer of
    the application is none, whatever its status: one that refuses what is too much with 503 would
    lose half of its hosts just then.
    """

    enabled: Annotated[StrictBool | None, In(Scope.CLUSTER, Scope.UPSTREAM)] = Field(
        default=None, description="false: every host gets its share, come what may. Default: true."
    )
    consecutive_failures: Annotated[
        Annotated[StrictInt, Field(ge=1, le=1_000)] | None, In(Scope.CLUSTER)
    ] = Field(
        default=None,
        alias="consecutiveFailures",
        description="So many failures in a row, with no answer in between, and the host gets "
        "nothing. Default: 2.",
    )
    status_codes: Annotated[
        Annotated[tuple[Annotated[StrictInt, Field(ge=500, le=599)], ...], Field(min_length=1)]
        | None,
        In(Scope.UPSTREAM, needs=Capability.HTTP_ROUTES),
    ] = Field(
        default=None,
        alias="statusCodes",
        description="Answers of the application that are failures as well. Default: none.",
    )
    ejection_time: Annotated[Annotated[Duration, at_least("1ms")] | None, In(Scope.CLUSTER)] = (
        Field(
            default=None,
            alias="ejectionTime",
            description="How long it gets nothing the first time, twice as long the second time, "
            "and so on. Default: 30s, or maxEjectionTime if that is less.",
        )
    )
    max_ejection_time: Annotated[Annotated[Duration, at_least("1ms")] | None, In(Scope.CLUSTER)] = (
        Field(
            default=None,
            alias="maxEjectionTime",
            description="How long it gets nothing at most. Default: 2m, or ejectionTime if that is "
            "more.",
        )
    )
    max_ejected_percent: Annotated[
        Annotated[StrictInt, Field(ge=1, le=100)] | None, In(Scope.CLUSTER)
    ] = Field(
        default=None,
        alias="maxEjectedPercent",
        description="How many percent of the hosts may get nothing at a time. With 50 the only "
        "host of a service always gets all. Default: 50.",
    )


def _check(value: OutlierDetectionSpec, _provided: frozenset[Capability]) -> PolicyProblem | None:
    first, longest = value.ejection_time, value.max_ejection_time
    if first is None or longest is None or first <= longest:
        return None
    return PolicyProblem(
        code="MC504",
        field="ejection_time",
        message=f"ejectionTime is {first}, longer than maxEjectionTime, {longest}",
        hint="make maxEjectionTime as long at least",
    )


def _derive(value: OutlierDetectionSpec) -> dict[str, object]:
    """Return how long it lasts; who says one of the two need not say the other."""
    first, longest = value.ejection_time, value.max_ejection_time
    return {
        "ejection_time": _FIRST if longest is None else min(_FIRST, longest),
        "max_ejection_time": _LONGEST if first is None else max(_LONGEST, first),
    }


SPEC = PolicySpec(
    key="outlierDetection",
    summary="when a host that fails gets nothing for a while",
    model=OutlierDetectionSpec,
    defaults=OutlierDetectionSpec(
        enabled=True,
        consecutive_failures=2,
        max_ejected_percent=50,
    ),
    derive=_derive,
    check=_check,
)
