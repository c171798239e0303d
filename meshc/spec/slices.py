"""What the spec half of a protocol or policy slice declares about itself."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from meshc.spec.fields import SpecModel


class Capability(enum.Enum):
    """What a protocol offers and a policy needs; neither names the other."""

    HTTP_ROUTES = "requests that a route can treat one by one"
    METHODS = "requests with methods, some of which are safe to repeat"
    GRPC_CALLS = "calls of gRPC"
    UPGRADES = "connections that can be upgraded, as WebSockets are"
    BYTE_STREAMS = "connections that are passed on byte by byte"


class Side(enum.Enum):
    """Whose Envoys a policy is for."""

    CALLER = "the Envoys of those who call the service"
    CALLED = "the Envoys of the service's own hosts"


class Scope(enum.Enum):
    """The Envoy message that a policy field ends up in."""

    LISTENER = "the listener"
    MANAGER = "the HTTP connection manager of a listener"
    PROXY = "the filter that passes a connection's bytes on"
    ROUTE = "every route to the service"
    ACTION = "the action of every route to the service"
    IDEMPOTENT_ACTION = "the action of routes for methods that are safe to repeat"
    WEBSOCKET_ACTION = "the action of the route for WebSockets"
    CLUSTER = "the cluster of the service"
    UPSTREAM = "the HTTP options of the cluster's connections"


LISTENER_SCOPES = frozenset({Scope.LISTENER, Scope.MANAGER, Scope.PROXY})
ROUTE_SCOPES = frozenset(
    {Scope.ROUTE, Scope.ACTION, Scope.IDEMPOTENT_ACTION, Scope.WEBSOCKET_ACTION}
)
CLUSTER_SCOPES = frozenset({Scope.CLUSTER, Scope.UPSTREAM})


@dataclass(frozen=True, slots=True)
class In:
    """Mark of a policy's field: which messages it changes, and what it needs of the protocol."""

    scopes: frozenset[Scope]
    needs: Capability | None

    def __init__(self, *scopes: Scope, needs: Capability | None = None) -> None:
        object.__setattr__(self, "scopes", frozenset(scopes))
        object.__setattr__(self, "needs", needs)


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


def _nothing_follows(_value: Any) -> Mapping[str, object]:
    """Leave every field as it is."""
    return {}


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


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """One policy as specs see it.

    ``defaults`` is a complete value; what users write is merged over it field by field.
    ``needs`` holds for the whole policy; each field's mark `In` says what that field needs and
    changes.  A caller that overrides a field gets its own copy of the messages that it changes
    and shares the rest.  A policy of the called ``side`` is none of a caller's business.
    ``derive`` gives, for a merged value, those fields that follow from others where nobody has
    set them; ``check`` judges a merged value where single fields cannot be judged alone.
    """

    key: str
    summary: str
    model: type[SpecModel]
    defaults: SpecModel
    side: Side = Side.CALLER
    needs: frozenset[Capability] = frozenset()
    derive: Callable[[Any], Mapping[str, object]] = _nothing_follows
    check: Callable[[Any, frozenset[Capability]], PolicyProblem | None] = _nothing_wrong

    @cached_property
    def scopes(self) -> Mapping[str, frozenset[Scope]]:
        """For each field the messages that it changes."""
        return {name: mark.scopes for name, mark in self._marks()}

    @cached_property
    def field_needs(self) -> Mapping[str, Capability]:
        """For some fields what the protocol must offer."""
        return {name: mark.needs for name, mark in self._marks() if mark.needs is not None}

    def _marks(self) -> Iterator[tuple[str, In]]:
        for name, info in self.model.model_fields.items():
            yield from ((name, mark) for mark in info.metadata if isinstance(mark, In))
