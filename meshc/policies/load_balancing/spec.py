"""Load balancing as specs see it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt, StrictStr, model_validator
from pydantic_core import PydanticCustomError

from meshc.spec.fields import SpecModel
from meshc.spec.slices import Capability, In, PolicyProblem, PolicySpec, Scope

HASHING = frozenset({"ringHash", "maglev"})


class HashOnSpec(SpecModel):
    """What a request is hashed on, so that equal requests meet the same host."""

    header: (
        Annotated[
            StrictStr, Field(min_length=1, max_length=128, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
        ]
        | None
    ) = Field(default=None, description="Name of a request header.")
    cookie: (
        Annotated[
            StrictStr, Field(min_length=1, max_length=128, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
        ]
        | None
    ) = Field(default=None, description="Name of a cookie.")
    source_ip: Literal[True] | None = Field(
        default=None, alias="sourceIp", description="true: the address of the calling client."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> HashOnSpec:
        if [self.header, self.cookie, self.source_ip].count(None) != 2:  # noqa: PLR2004, of three
            raise PydanticCustomError(
                "MC502",
                "hashOn needs exactly one of header, cookie and sourceIp",
                {"hint": "for example hashOn: {header: x-user-id}"},
            )
        return self


class LoadBalancingSpec(SpecModel):
    """Which host gets the next request."""

    policy: Annotated[
        Literal["roundRobin", "leastRequest", "random", "ringHash", "maglev"] | None,
        In(Scope.CLUSTER, Scope.ACTION, Scope.PROXY),
    ] = Field(default=None, description="How the next host is chosen. Default: roundRobin.")
    hash_on: Annotated[HashOnSpec | None, In(Scope.ACTION, Scope.PROXY)] = Field(
        default=None, alias="hashOn", description="For ringHash and maglev: what is hashed."
    )
    choice_count: Annotated[Annotated[StrictInt, Field(ge=2, le=100)] | None, In(Scope.CLUSTER)] = (
        Field(
            default=None,
            alias="choiceCount",
            description="For leastRequest: hosts drawn, of which the least busy wins. Default: 2.",
        )
    )
    minimum_ring_size: Annotated[
        Annotated[StrictInt, Field(ge=1, le=8_388_608)] | None, In(Scope.CLUSTER)
    ] = Field(
        default=None,
        alias="minimumRingSize",
        description="For ringHash: entries of the ring at least. Default: 1024.",
    )
    table_size: Annotated[
        Literal[
            251,
            509,
            1_021,
            2_039,
            4_093,
            8_191,
            16_381,
            32_749,
            65_537,
            131_071,
            524_287,
            2_097_143,
        ]
        | None,
        In(Scope.CLUSTER),
    ] = Field(
        default=None,
        alias="tableSize",
        description="For maglev: entries of the table, a prime. Default: 65537.",
    )


def _check(value: LoadBalancingSpec, provided: frozenset[Capability]) -> PolicyProblem | None:
    if value.policy not in HASHING:
        return None
    has_requests = Capability.HTTP_ROUTES in provided
    if value.hash_on is None and has_requests:
        return PolicyProblem(
            code="MC502",
            field="policy",
            message=f"{value.policy} needs hashOn, or all requests go to one host",
            hint="say what makes requests equal, for example hashOn: {header: x-user-id}",
        )
    if value.hash_on is not None and not has_requests and value.hash_on.source_ip is None:
        return PolicyProblem(
            code="MC502",
            field="hash_on",
            message="connections have no headers and cookies to be hashed on",
            hint="write hashOn: {sourceIp: true}, or leave it out, which means the same",
            is_fine_in_defaults=True,
        )
    return None


SPEC = PolicySpec(
    key="loadBalancing",
    summary="which host of a service gets the next request or connection",
    model=LoadBalancingSpec,
    defaults=LoadBalancingSpec(policy="roundRobin"),
    check=_check,
)
