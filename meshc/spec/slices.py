"""What the spec half of a protocol or policy slice declares about itself."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshc.spec.fields import SpecModel


class Capability(enum.Enum):
    """What a protocol offers and a policy needs; neither names the other."""

    HTTP_ROUTES = "requests that a route can treat one by one"
    BYTE_STREAMS = "connections that are passed on byte by byte"


class Scope(enum.Enum):
    """The kind of Envoy message that a policy field ends up in."""

    CLUSTER = "the cluster of the called service"
    ROUTE = "the route to the called service"
    PROXY = "the filter that passes a connection's bytes on"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSpec:
    """One protocol as specs see it.

    ``policy_defaults`` maps a policy's key to fields that this protocol sets differently from
    the policy's own defaults.
    """

    keyword: str
    summary: str
    provides: frozenset[Capability]
    policy_defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def has_requests(self) -> bool:
        """Whether requests are routed one by one, so that a route configuration exists."""
        return Capability.HTTP_ROUTES in self.provides


def _nothing_wrong(_value: Any, _provided: frozenset[Capability]) -> None:
    """Find every combination of fields fine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyProblem:
    """What is wrong with a merged value, and which field to point at.

    ``is_fine_in_defaults`` says that it is nothing wrong in the defaults of the mesh, which pass
    by what cannot use them.
    """

    code: str
    field: str
    message: str
    hint: str
    is_fine_in_defaults: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """One policy as specs see it.

    ``defaults`` is a complete value; what users write is merged over it field by field.
    ``needs`` holds for the whole policy, ``field_needs`` for single fields of it.
    ``scopes`` says for each field which messages it changes; a caller that overrides a field
    gets its own copy of those messages and shares the rest.
    ``check`` judges a merged value where single fields cannot be judged alone.
    """

    key: str
    summary: str
    model: type[SpecModel]
    defaults: SpecModel
    scopes: Mapping[str, frozenset[Scope]]
    needs: frozenset[Capability] = frozenset()
    field_needs: Mapping[str, Capability] = field(default_factory=dict)
    check: Callable[[Any, frozenset[Capability]], PolicyProblem | None] = _nothing_wrong
