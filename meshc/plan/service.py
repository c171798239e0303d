"""Mesh and Service → ServicePlan: what exists once for a service and all its callers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from meshc.model.mesh import Address
from meshc.plan.match import bind_policies, overridden_scopes
from meshc.plan.types import (
    ChainPlan,
    ClusterPlan,
    Direction,
    EndpointPlan,
    EndpointsPlan,
    HealthPlan,
    ListenerPlan,
    NodeShape,
    ServicePlan,
)
from meshc.spec.schema import PROTOCOL_SPECS
from meshc.spec.slices import CLUSTER_SCOPES, Scope, Side

if TYPE_CHECKING:
    from meshc.model.mesh import Instance, Mesh, Service, ServiceName, Upstream
    from meshc.plan.types import PolicyBinding


class SharedPlans:
    """Plans of a mesh that several nodes share, each made when first asked for and kept."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._endpoints: dict[ServiceName, EndpointsPlan] = {}
        self._shared: dict[ServiceName, ChainPlan] = {}
        self._inbound: dict[tuple[ServiceName, object], ChainPlan] = {}
        self._called: dict[ServiceName, tuple[PolicyBinding, ...]] = {}
        self._listeners: dict[tuple[ServiceName, str], tuple[ListenerPlan, ...]] = {}
        self._own: dict[tuple[ServiceName, ServiceName], ChainPlan] = {}
        self._shapes: dict[tuple[int, ...], NodeShape] = {}

    @cached_property
    def overriding(self) -> dict[ServiceName, tuple[Upstream, ...]]:
        """For each called service, the dependencies of others on it that override something."""
        found: defaultdict[ServiceName, list[Upstream]] = defaultdict(list)
        for consumer in self.mesh.services.values():
            for upstream in consumer.upstreams:
                target = self.mesh.services[upstream.service]
                if self._overridden(upstream, target):
                    found[target.name].append(upstream)
        return {name: tuple(upstreams) for name, upstreams in found.items()}

    def service(self, service: Service) -> ServicePlan:
        """Plan what all callers of a service share."""
        is_shared = not service.is_only_in_consul
        outbound = [self._shared_chain(service)] if is_shared else []
        outbound += [self.outbound(upstream) for upstream in self.overriding.get(service.name, ())]
        inbound = self.inbound(service.instances[0]) if service.instances else None
        return ServicePlan(
            service=service.name,
            endpoints=self._endpoints_of(service) if is_shared else None,
            inbound=inbound,
            outbound=tuple(outbound),
        )

    def _overridden(self, upstream: Upstream, target: Service) -> frozenset[Scope]:
        """Which kinds of message a caller has for itself; following health takes a cluster."""
        scopes = overridden_scopes(target, upstream.overrides)
        return scopes if upstream.overrides.panic_threshold is None else scopes | {Scope.CLUSTER}

    def inbound(self, instance: Instance) -> ChainPlan:
        """Plan how a node hands traffic to its application."""
        key = (instance.service, instance.substance)
        if (known := self._inbound.get(key)) is not None:
            return known
        service = self.mesh.services[instance.service]
        bindings = self._called_bindings(service)
        cluster = ClusterPlan(
            direction=Direction.INBOUND,
            service=service.name,
            consumer=None,
            protocol=service.protocol,
            endpoints=None,
            local=instance.substance,
            bindings=bindings,
            origin=instance.origin,
        )
        chain = ChainPlan(
            direction=Direction.INBOUND,
            service=service.name,
            consumer=None,
            protocol=service.protocol,
            has_routes=PROTOCOL_SPECS[service.protocol].has_requests,
            cluster=cluster,
            bindings=bindings,
            origin=service.origin,
        )
        self._inbound[key] = chain
        return chain

    def _called_bindings(self, service: Service) -> tuple[PolicyBinding, ...]:
        if (known := self._called.get(service.name)) is None:
            known = bind_policies(self.mesh, service, None, Side.CALLED)
            self._called[service.name] = known
        return known

    def outbound(self, upstream: Upstream) -> ChainPlan:
        """Plan how a caller reaches a service; shared unless the caller overrides something."""
        target = self.mesh.services[upstream.service]
        scopes = self._overridden(upstream, target)
        shared = self._shared_chain(target)
        if not scopes:
            return shared
        key = (upstream.consumer, upstream.service)
        if (known := self._own.get(key)) is not None:
            return known
        bindings = bind_policies(self.mesh, target, upstream.overrides, Side.CALLER)
        cluster = shared.cluster
        if scopes & CLUSTER_SCOPES:
            cluster = ClusterPlan(
                direction=Direction.OUTBOUND,
                service=target.name,
                consumer=upstream.consumer,
                protocol=target.protocol,
                endpoints=self._endpoints_for(upstream, target),
                local=None,
                bindings=bindings,
                origin=upstream.origin,
            )
        chain = ChainPlan(
            direction=Direction.OUTBOUND,
            service=target.name,
            consumer=upstream.consumer,
            protocol=target.protocol,
            has_routes=shared.has_routes,
            cluster=cluster,
            bindings=bindings,
            origin=upstream.origin,
        )
        self._own[key] = chain
        return chain

    def outbound_listeners(
        self, consumer: ServiceName, egress_host: str
    ) -> tuple[ListenerPlan, ...]:
        """Plan the listeners for a service's calls, equal for all hosts with one egressHost."""
        key = (consumer, egress_host)
        if (known := self._listeners.get(key)) is not None:
            return known
        listeners = tuple(
            ListenerPlan(
                direction=Direction.OUTBOUND,
                service=upstream.service,
                consumer=consumer,
                bind=Address(egress_host, upstream.egress_port),
                chain=self.outbound(upstream),
                origin=upstream.origin,
            )
            for upstream in self.mesh.services[consumer].upstreams
        )
        self._listeners[key] = listeners
        return listeners

    def shape(self, chains: tuple[ChainPlan, ...]) -> NodeShape:
        """Return the one shape of all nodes with these chains.

        Keyed by identity, which the shape itself keeps alive: comparing plans by value would
        cost more than all that is shared.
        """
        key = tuple(map(id, chains))
        if (known := self._shapes.get(key)) is not None:
            return known
        clusters = {id(chain.cluster): chain.cluster for chain in chains}
        shape = NodeShape(chains=chains, clusters=tuple(clusters.values()))
        self._shapes[key] = shape
        return shape

    def _shared_chain(self, service: Service) -> ChainPlan:
        if (known := self._shared.get(service.name)) is not None:
            return known
        bindings = bind_policies(self.mesh, service, None, Side.CALLER)
        cluster = ClusterPlan(
            direction=Direction.OUTBOUND,
            service=service.name,
            consumer=None,
            protocol=service.protocol,
            endpoints=self._endpoints_of(service),
            local=None,
            bindings=bindings,
            origin=service.origin,
        )
        chain = ChainPlan(
            direction=Direction.OUTBOUND,
            service=service.name,
            consumer=None,
            protocol=service.protocol,
            has_routes=PROTOCOL_SPECS[service.protocol].has_requests,
            cluster=cluster,
            bindings=bindings,
            origin=service.origin,
        )
        self._shared[service.name] = chain
        return chain

    def _endpoints_for(self, upstream: Upstream, target: Service) -> EndpointsPlan:
        """Plan a caller's endpoints: the shared ones unless it follows their health."""
        shared = self._endpoints_of(target)
        panic_threshold = upstream.overrides.panic_threshold
        if panic_threshold is None:
            return shared
        health = HealthPlan(
            panic_threshold=panic_threshold,
            tags=tuple(sorted(set(upstream.overrides.tags))),
            is_only_in_consul=target.is_only_in_consul,
        )
        return replace(shared, consumer=upstream.consumer, health=health, origin=upstream.origin)

    def _endpoints_of(self, service: Service) -> EndpointsPlan:
        if (known := self._endpoints.get(service.name)) is not None:
            return known
        inside = [
            EndpointPlan(
                name=instance.node,
                address=instance.ingress,
                weight=instance.weight,
                locality=self.mesh.nodes[instance.node].locality,
                labels=instance.labels,
                origin=instance.origin,
            )
            for instance in service.instances
            if instance.weight
        ]
        outside = [
            EndpointPlan(
                name=host.name,
                address=host.address,
                weight=host.weight,
                locality=host.locality,
                labels=host.labels,
                origin=host.origin,
            )
            for host in service.external_hosts
            if host.weight
        ]
        plan = EndpointsPlan(
            service=service.name,
            endpoints=tuple(inside + outside),
            has_dns_names=any(host.has_dns_name for host in service.external_hosts),
            is_external=bool(service.external_hosts) or service.is_only_in_consul,
            origin=service.origin,
        )
        self._endpoints[service.name] = plan
        return plan
