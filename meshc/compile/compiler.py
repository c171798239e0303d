"""Plans → the resources of each file; what is shared is compiled once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.artifact.health import HealthRule
from meshc.compile import names
from meshc.compile.bootstrap import bootstrap_resource
from meshc.compile.cluster import cluster_resource
from meshc.compile.endpoint import endpoints_resource
from meshc.compile.listener import listener_resource
from meshc.compile.resources import ResourceSet
from meshc.compile.route import routes_resource
from meshc.compile.tracing import has_own_spans, tracing_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from meshc.compile.interfaces import CompileContext
    from meshc.compile.resources import Message, Resource
    from meshc.plan.types import (
        ClusterPlan,
        EndpointsPlan,
        ListenerPlan,
        NodePlan,
        NodeShape,
        ServicePlan,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledNode:
    """What is a node's own; nodes of one ``shape`` have the very same ``clusters``."""

    shape: NodeShape
    listeners: ResourceSet
    clusters: ResourceSet
    bootstrap: Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledService:
    """What all callers of a service share, and what a caller has for itself.

    Endpoints, routes and rules by caller; None is the one for all callers without their own.
    What no file holds is not there.
    """

    endpoints: Mapping[str | None, Resource]
    inbound_routes: Resource | None
    outbound_routes: Mapping[str | None, Resource]
    health: Mapping[str, HealthRule]


class Compiler:
    """Compiles one mesh.  INPUT: the context and plans.  OUTPUT: resources, never changed again.

    Every resource is shown to ``on_new`` once, when it is made.

    The memos hold what several nodes share; they are keyed by the identity of plan objects,
    which `SharedPlans` makes once each, and hold these objects so that it stays theirs.
    """

    def __init__(self, context: CompileContext, on_new: Callable[[Resource], None]) -> None:
        self.context = context
        self._on_new = on_new
        self._has_own_spans = has_own_spans(context)
        self._filters: dict[tuple[str, str | None], list[Message]] = {}
        self._clusters: dict[int, tuple[ClusterPlan, Resource]] = {}
        self._listeners: dict[int, tuple[ListenerPlan, Resource]] = {}
        self._cluster_sets: dict[NodeShape, ResourceSet] = {}

    def compile_service(self, plan: ServicePlan) -> CompiledService:
        """Compile endpoints and routes of a service."""
        settings = self.context.settings
        inbound = None
        endpoints: dict[str | None, Resource] = {}
        outbound: dict[str | None, Resource] = {}
        if settings.endpoints == "file":
            endpoints = {
                one.consumer: self._new(endpoints_resource(one))
                for one in _endpoints_of(plan)
                if not one.has_dns_names
            }
        if settings.routes == "file":
            if plan.inbound is not None and plan.inbound.has_routes:
                inbound = self._new(routes_resource(plan.inbound, self.context))
            outbound = {
                chain.consumer: self._new(routes_resource(chain, self.context))
                for chain in plan.outbound
                if chain.has_routes
            }
        return CompiledService(
            endpoints=endpoints,
            inbound_routes=inbound,
            outbound_routes=outbound,
            health=dict(self._rules(plan)),
        )

    def compile_node(self, plan: NodePlan) -> CompiledNode:
        """Compile listeners, clusters and bootstrap of a node."""
        return CompiledNode(
            shape=plan.shape,
            listeners=ResourceSet.of([self._listener(listener) for listener in plan.listeners]),
            clusters=self._cluster_set(plan),
            bootstrap=self._new(bootstrap_resource(plan.node, self.context)),
        )

    def forget_nodes(self) -> None:
        """Drop what no node of another service can share; it is most of a mesh's bytes."""
        self._listeners.clear()
        self._cluster_sets.clear()

    def _rules(self, plan: ServicePlan) -> Iterator[tuple[str, HealthRule]]:
        for one in _endpoints_of(plan):
            if one.consumer is not None and one.health is not None:
                yield (
                    one.consumer,
                    HealthRule(
                        mesh=self.context.settings.name,
                        service=one.service,
                        consumer=one.consumer,
                        panic_threshold=one.health.panic_threshold,
                        tags=one.health.tags,
                        is_only_in_consul=one.health.is_only_in_consul,
                    ),
                )

    def _new(self, resource: Resource) -> Resource:
        self._on_new(resource)
        return resource

    def _listener(self, plan: ListenerPlan) -> Resource:
        known = self._listeners.get(id(plan))
        if known is not None:
            return known[1]
        resource = self._new(listener_resource(plan, self._network_filters(plan)))
        self._listeners[id(plan)] = (plan, resource)
        return resource

    def _network_filters(self, plan: ListenerPlan) -> list[Message]:
        """Compile the filters of a chain; its name is its identity, on whichever node."""
        chain, own = plan.chain, plan.own_service
        key = (names.chain_name(chain), own if self._has_own_spans else None)
        known = self._filters.get(key)
        if known is None:
            compiler = self.context.protocols[chain.protocol].compiler
            known = compiler.network_filters(chain, self.context, own_service=own)
            self._filters[key] = known
        return known

    def _cluster_set(self, plan: NodePlan) -> ResourceSet:
        """Compile the clusters of a node, which all nodes of its shape share."""
        known = self._cluster_sets.get(plan.shape)
        if known is not None:
            return known
        clusters = [self._cluster(cluster) for cluster in plan.clusters]
        if any(chain.has_routes for chain in plan.shape.chains):
            collector = tracing_cluster(self.context, plan.node.origin)
            if collector is not None:
                clusters.append(self._new(collector))
        known = self._cluster_sets[plan.shape] = ResourceSet.of(clusters)
        return known

    def _cluster(self, plan: ClusterPlan) -> Resource:
        known = self._clusters.get(id(plan))
        if known is not None:
            return known[1]
        resource = self._new(cluster_resource(plan, self.context))
        self._clusters[id(plan)] = (plan, resource)
        return resource


def _endpoints_of(plan: ServicePlan) -> Iterator[EndpointsPlan]:
    """Yield the endpoints of a service: those that callers share, and those of one caller each."""
    if plan.endpoints is not None:
        yield plan.endpoints
    for chain in plan.outbound:
        endpoints = chain.cluster.endpoints
        if endpoints is not None and endpoints.consumer is not None:
            yield endpoints
