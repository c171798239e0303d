"""The seams between the compiler and its slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshc.compile.resources import Message
    from meshc.model.mesh import ServiceName
    from meshc.plan.types import ChainPlan, ClusterPlan, Direction, PolicyBinding
    from meshc.spec.schema import MeshSpec
    from meshc.spec.slices import PolicySpec, ProtocolSpec, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where in the mesh a message stands: all that an edit may know beside its own value.

    ``leads_to_envoys``: the cluster's hosts are Envoys of this mesh, and neither the application
    nor hosts outside.
    """

    direction: Direction
    service: ServiceName
    consumer: ServiceName | None
    leads_to_envoys: bool

    @classmethod
    def of_chain(cls, chain: ChainPlan) -> Site:
        """Return the site of a chain, its routes and filters."""
        return cls(
            direction=chain.direction,
            service=chain.service,
            consumer=chain.consumer,
            leads_to_envoys=chain.cluster.leads_to_envoys,
        )

    @classmethod
    def of_cluster(cls, cluster: ClusterPlan) -> Site:
        """Return the site of a cluster."""
        return cls(
            direction=cluster.direction,
            service=cluster.service,
            consumer=cluster.consumer,
            leads_to_envoys=cluster.leads_to_envoys,
        )


Edit = Callable[[Any, "Message", Site], None]
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

    def apply(
        self, scope: Scope, bindings: Iterable[PolicyBinding], message: Message, site: Site
    ) -> None:
        """Let every bound policy edit a message; the order of bindings is that of the registry."""
        for binding in bindings:
            edit = self.policies[binding.key].edits.get(scope)
            if edit is not None:
                edit(binding.value, message, site)
