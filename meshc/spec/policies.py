"""The policies of a service, a dependency and the mesh: one field a slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from meshc.policies.circuit_breakers.spec import SPEC as CIRCUIT_BREAKERS
from meshc.policies.circuit_breakers.spec import CircuitBreakersSpec
from meshc.policies.health_checks.spec import SPEC as HEALTH_CHECKS
from meshc.policies.health_checks.spec import HealthChecksSpec
from meshc.policies.inbound.spec import SPEC as INBOUND
from meshc.policies.inbound.spec import InboundSpec
from meshc.policies.load_balancing.spec import SPEC as LOAD_BALANCING
from meshc.policies.load_balancing.spec import LoadBalancingSpec
from meshc.policies.outlier_detection.spec import SPEC as OUTLIER_DETECTION
from meshc.policies.outlier_detection.spec import OutlierDetectionSpec
from meshc.policies.retries.spec import SPEC as RETRIES
from meshc.policies.retries.spec import RetriesSpec
from meshc.policies.timeouts.spec import SPEC as TIMEOUTS
from meshc.policies.timeouts.spec import TimeoutsSpec
from meshc.spec.fields import SpecModel
from meshc.spec.slices import PolicySpec

if TYPE_CHECKING:
    from collections.abc import Mapping


class PoliciesSpec(SpecModel):
    """The policies, one optional field a slice, in the order in which they are applied."""

    timeouts: Annotated[TimeoutsSpec | None, TIMEOUTS] = Field(
        default=None, description=TIMEOUTS.summary
    )
    retries: Annotated[RetriesSpec | None, RETRIES] = Field(
        default=None, description=RETRIES.summary
    )
    circuit_breakers: Annotated[CircuitBreakersSpec | None, CIRCUIT_BREAKERS] = Field(
        default=None, alias="circuitBreakers", description=CIRCUIT_BREAKERS.summary
    )
    load_balancing: Annotated[LoadBalancingSpec | None, LOAD_BALANCING] = Field(
        default=None, alias="loadBalancing", description=LOAD_BALANCING.summary
    )
    outlier_detection: Annotated[OutlierDetectionSpec | None, OUTLIER_DETECTION] = Field(
        default=None, alias="outlierDetection", description=OUTLIER_DETECTION.summary
    )
    health_checks: Annotated[HealthChecksSpec | None, HEALTH_CHECKS] = Field(
        default=None, alias="healthChecks", description=HEALTH_CHECKS.summary
    )
    inbound: Annotated[InboundSpec | None, INBOUND] = Field(
        default=None, description=INBOUND.summary
    )


POLICY_SPECS: Mapping[str, PolicySpec] = {
    mark.key: mark
    for field in PoliciesSpec.model_fields.values()
    for mark in field.metadata
    if isinstance(mark, PolicySpec)
}
"""Policy key → what its slice declares, read off the fields above."""
