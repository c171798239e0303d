"""A node and its services as they are registered, and how it shows whose they are.

Whose something is and which host it is of stands in its metadata and is read from there only:
names are for people, and other people choose names too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMIN_SERVICE = "envoy-admin"
MANAGED_BY = ("managed-by", "meshc")
MESH, NODE = "mesh", "node"
"""Keys in the metadata of a service."""
NODE_MESH, NODE_NODE, NODE_SERVICES = "meshc-mesh", "meshc-node", "meshc-services"
EXTERNAL_NODE = ("external-node", "true")
EXTERNAL_PROBE = ("external-probe", "false")
"""How Consul's own tools know a node without an agent, and that none of them shall ping it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEntry:
    """A service on a node.

    ``node`` is the node of the mesh; ``weight`` is for those who choose by Consul's DNS.
    """

    id: str
    name: str
    node: str
    address: str
    port: int
    tags: tuple[str, ...]
    meta: Mapping[str, str]
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEntry:
    """A node of its own in the catalogue; ``node`` is what the mesh calls it.

    ``admin`` is the admin interface of its Envoy, a service beside the instances.
    """

    name: str
    node: str
    address: str
    meta: Mapping[str, str]
    instances: tuple[ServiceEntry, ...]
    admin: ServiceEntry

    @property
    def services(self) -> tuple[ServiceEntry, ...]:
        """All that is registered on the node."""
        return (*self.instances, self.admin)


def catalogue_name(mesh: str, node: str) -> str:
    """Name of a node in the catalogue; two meshes can arrive at one, and the second is refused."""
    return f"meshc-{mesh}-{node}"


def service_id(mesh: str, service: str, node: str) -> str:
    """Id of an instance: no two have the same, because no name has a colon in it."""
    return f"meshc:{mesh}:service:{service}:{node}"


def admin_id(mesh: str, node: str) -> str:
    """Id of a node's admin interface."""
    return f"meshc:{mesh}:admin:{node}"


def is_node_of(mesh: str, meta: Mapping[str, str]) -> bool:
    """Whether a node of the catalogue is this mesh's own."""
    key, value = EXTERNAL_NODE
    return meta.get(NODE_MESH) == mesh and meta.get(key) == value and NODE_NODE in meta


def is_service_of(mesh: str, meta: Mapping[str, str]) -> bool:
    """Whether a service is this mesh's own."""
    key, value = MANAGED_BY
    return meta.get(MESH) == mesh and meta.get(key) == value and NODE in meta


def service_body(entry: ServiceEntry) -> dict[str, Any]:
    """Return a service in Consul's field names, as far as all its interfaces agree on them."""
    return {
        "ID": entry.id,
        "Tags": list(entry.tags),
        "Address": entry.address,
        "Port": entry.port,
        "Meta": dict(entry.meta),
        "Weights": {"Passing": entry.weight, "Warning": entry.weight},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundService:
    """A service of this mesh as it is registered; ``index`` is what check-and-set compares."""

    entry: ServiceEntry
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundNode:
    """A node of this mesh as it is registered; ``foreign`` are ids of others' services on it."""

    name: str
    node: str
    address: str
    meta: Mapping[str, str]
    index: int
    services: Mapping[str, FoundService] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The catalogue, as far as it is this mesh's or could be in its way.

    Attributes:
        nodes: Nodes of this mesh.
        taken: Names of nodes of others that look like this mesh's, in lower case as Consul
            compares them.
        local: Nodes of the mesh that an agent has registered, each with the agent's node.
    """

    nodes: tuple[FoundNode, ...] = ()
    taken: frozenset[str] = frozenset()
    local: Mapping[str, str] = field(default_factory=dict)
