"""The linked mesh: every name resolved, every reference checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, NewType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.spec.origin import Origin
    from meshc.spec.schema import AppProtocol, DependencySpec, MeshSpec, ServiceSpec

ServiceName = NewType("ServiceName", str)
NodeId = NewType("NodeId", str)


class Address(NamedTuple):
    """Host and TCP port; the host is an IP address in its shortest form, or a DNS name."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Locality(NamedTuple):
    """Region and zone, Envoy's words; empty texts where nothing is known."""

    region: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One running copy of a service behind its node's Envoy."""

    service: ServiceName
    node: NodeId
    ingress: Address
    substance: Address
    egress_host: str
    weight: int
    locality: Locality
    labels: Mapping[str, str]
    origin: Origin = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalHost:
    """One host of a service outside the mesh."""

    name: str
    address: Address
    has_dns_name: bool
    weight: int
    locality: Locality
    labels: Mapping[str, str]
    origin: Origin = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A service that another one calls, and the port of the caller's Envoy for it."""

    consumer: ServiceName
    service: ServiceName
    egress_port: int
    overrides: DependencySpec
    origin: Origin = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A named thing that is called; it has instances in the mesh or hosts outside, not both.

    ``is_only_in_consul``: no document describes it, and its hosts are whatever Consul says.
    """

    name: ServiceName
    protocol: AppProtocol
    instances: tuple[Instance, ...]
    external_hosts: tuple[ExternalHost, ...]
    upstreams: tuple[Upstream, ...]
    labels: Mapping[str, str]
    policies: ServiceSpec
    digest: str
    """Digest of the document; whatever depends on the service alone depends on this."""
    origin: Origin = field(compare=False, repr=False)
    is_only_in_consul: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One Envoy and the instances that it serves, ordered by service name."""

    id: NodeId
    instances: tuple[Instance, ...]
    admin: Address
    locality: Locality
    labels: Mapping[str, str]
    origin: Origin = field(compare=False, repr=False)

    @property
    def cluster(self) -> str:
        """Envoy's name for the group a proxy belongs to: the services it serves."""
        return "+".join(instance.service for instance in self.instances)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """All services and nodes in name order, with the settings of `mesh.yaml`."""

    settings: MeshSpec
    settings_digest: str
    settings_origin: Origin | None = field(compare=False, repr=False)
    services: Mapping[ServiceName, Service]
    nodes: Mapping[NodeId, Node]
