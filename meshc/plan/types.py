"""The plan: listeners, clusters, routes and endpoints before they are Envoy's."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.model.mesh import Address, Locality, Node, ServiceName
    from meshc.spec.fields import SpecModel
    from meshc.spec.origin import Origin
    from meshc.spec.schema import AppProtocol


class Direction(enum.Enum):
    """Toward the local application, or away from it to another service."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBinding:
    """A policy with its merged value, bound to a cluster, a route or a listener."""

    key: str
    value: SpecModel


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlan:
    """One host of a service as callers see it."""

    name: str
    address: Address
    weight: int
    locality: Locality
    labels: Mapping[str, str]
    origin: Origin = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPlan:
    """By what rule a host chooses among endpoints, as Consul calls them passing or not.

    ``tags`` are for a service that only Consul knows, whose endpoints all come from there.
    """

    panic_threshold: int
    tags: tuple[str, ...]
    is_only_in_consul: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsPlan:
    """All hosts of a service; ``has_dns_names`` means that Envoy must resolve them itself.

    ``is_external``: they have no Envoys of this mesh, be it that a document or Consul knows them.
    ``consumer`` is set where one caller has them for itself, because it follows their health.
    """

    service: ServiceName
    endpoints: tuple[EndpointPlan, ...]
    has_dns_names: bool
    is_external: bool
    consumer: ServiceName | None = None
    health: HealthPlan | None = None
    origin: Origin = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """A group of hosts that requests go to.

    ``consumer`` is set where the cluster belongs to one caller because it overrides something;
    None means shared by all callers.  Inbound clusters have ``local``, outbound ones
    ``endpoints``.
    """

    direction: Direction
    service: ServiceName
    consumer: ServiceName | None
    protocol: AppProtocol
    endpoints: EndpointsPlan | None
    local: Address | None
    bindings: tuple[PolicyBinding, ...]
    origin: Origin = field(compare=False, repr=False)

    @property
    def leads_to_envoys(self) -> bool:
        """Whether its hosts are Envoys of this mesh, and neither an application nor foreigners."""
        hosts = self.endpoints
        return hosts is not None and not hosts.is_external


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPlan:
    """What a listener does with a connection: protocol, policies, where it goes.

    Shared by all listeners that do the same, on however many nodes.  ``has_routes`` says that
    requests are routed one by one, so that there is a route configuration.
    """

    direction: Direction
    service: ServiceName
    consumer: ServiceName | None
    protocol: AppProtocol
    has_routes: bool
    cluster: ClusterPlan
    bindings: tuple[PolicyBinding, ...]
    origin: Origin = field(compare=False, repr=False)

    @property
    def leads_to_foreigners(self) -> bool:
        """Whether it leads to hosts that have no Envoy of this mesh."""
        return self.direction is Direction.OUTBOUND and not self.cluster.leads_to_envoys


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerPlan:
    """One address that a node's Envoy listens on; ``consumer`` is who calls, outbound."""

    direction: Direction
    service: ServiceName
    consumer: ServiceName | None
    bind: Address
    chain: ChainPlan
    origin: Origin = field(compare=False, repr=False)

    @property
    def own_service(self) -> ServiceName:
        """The service whose application is on the same host."""
        return self.service if self.consumer is None else self.consumer


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePlan:
    """What exists once for a service and all its callers.

    ``outbound`` starts with the chain that callers share; one for each caller that overrides
    something follows.  Callers of a service that only Consul knows share nothing, not even
    ``endpoints``.
    """

    service: ServiceName
    endpoints: EndpointsPlan | None
    inbound: ChainPlan | None
    outbound: tuple[ChainPlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeShape:
    """All of a node's plan that does not tell one host of a service from the next.

    One object for all nodes that have the same chains, compared by identity: what follows from
    chains alone, such as clusters and files to watch, is worked out once for ten hosts.
    """

    chains: tuple[ChainPlan, ...]
    clusters: tuple[ClusterPlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """Everything one node's Envoy runs."""

    node: Node
    listeners: tuple[ListenerPlan, ...]
    shape: NodeShape

    @property
    def clusters(self) -> tuple[ClusterPlan, ...]:
        """The clusters of all listeners, each once."""
        return self.shape.clusters
