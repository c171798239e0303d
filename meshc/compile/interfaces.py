"""The seams between the compiler and its slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshc.compile.resources import Message
    from meshc.model.mesh import ServiceName
    from meshc.plan.types import ChainPlan, ClusterPlan, PolicyBinding
    from meshc.spec.schema import MeshSpec
    from meshc.spec.slices import PolicySpec, ProtocolSpec, Scope

Edit = Callable[[Any, "Message"], None]
"""Write a policy's merged value into the message of one scope."""


class ProtocolCompiler(Protocol):
    """What one protocol means in Envoy."""

    def network_filters(
        self, chain: ChainPlan, context: CompileContext, *, own_service: ServiceName
    ) -> list[Message]:
        """Return the network filters of a filter chain; the last one ends it.

        ``own_service`` is the one whose host the listener is on: the caller, outbound.
        """

    def cluster_options(self, cluster: ClusterPlan) -> Message:
        """Return the cluster fields that this protocol needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSlice:
    """Both halves of a protocol."""

    spec: ProtocolSpec
    compiler: ProtocolCompiler


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySlice:
    """Both halves of a policy; ``edits`` has one function for each scope it touches."""

    spec: PolicySpec
    edits: Mapping[Scope, Edit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileContext:
    """What all slices may read: the mesh's settings and each other's edits, never each other."""

    settings: MeshSpec
    protocols: Mapping[str, ProtocolSlice]
    policies: Mapping[str, PolicySlice]

    def apply(self, scope: Scope, bindings: Iterable[PolicyBinding], message: Message) -> None:
        """Let every bound policy edit a message; the order of bindings is that of the registry."""
        for binding in bindings:
            edit = self.policies[binding.key].edits.get(scope)
            if edit is not None:
                edit(binding.value, message)
