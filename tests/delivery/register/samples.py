"""Instances, entries and meshes to register."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.artifact.instances import InstanceFacts
from meshc.delivery.register.desired import desired_registration
from meshc.delivery.register.entries import (
    Found,
    FoundNode,
    FoundService,
    NodeEntry,
    ServiceEntry,
)
from tests.case import built

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def instance(service: str, node: str, address: str = "10.0.0.1", **more: Any) -> InstanceFacts:
    """An instance with nothing special about it."""
    given: dict[str, Any] = {
        "service": service,
        "protocol": "HTTP",
        "service_labels": {},
        "node": node,
        "address": address,
        "port": 8000,
        "admin_address": address,
        "admin_port": 9901,
        "region": "",
        "zone": "",
        "labels": {},
        "weight": 1,
    }
    return InstanceFacts(**{**given, **more})


def entries(mesh: str, *instances: InstanceFacts) -> tuple[NodeEntry, ...]:
    return desired_registration(mesh, instances, admin_service="envoy-admin").nodes


def registered(entry: NodeEntry, **more: Any) -> FoundNode:
    """A node as it is found after it was registered."""
    return FoundNode(
        **{
            "name": entry.name,
            "node": entry.node,
            "address": entry.address,
            "meta": entry.meta,
            "index": 7,
            "services": {one.id: FoundService(entry=one, index=7) for one in entry.services},
            **more,
        }
    )


def found(*nodes: FoundNode, **more: Any) -> Found:
    return Found(nodes=nodes, **more)


def renamed(entry: ServiceEntry, **more: Any) -> ServiceEntry:
    given = {name: getattr(entry, name) for name in ServiceEntry.__dataclass_fields__}
    return ServiceEntry(**{**given, **more})


@dataclass(slots=True)
class Mesh:
    """Specs that change, and what a build makes of them."""

    folder: Path
    name: str
    hosts: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """Service → host → what the document says of it."""
    settings: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def put(self, service: str, node: str, address: str, port: int = 8000, **more: Any) -> None:
        """Let a host run a service, or say something else about it."""
        self.hosts.setdefault(service, {})[node] = {
            "name": node,
            "ingressAddr": {"host": address, "port": port},
            "substanceAddr": {"host": "127.0.0.1", "port": 10_000 + port},
            **more,
        }

    def take_out(self, service: str, node: str) -> None:
        del self.hosts[service][node]
        if not self.hosts[service]:
            del self.hosts[service]

    def build(self) -> Path:
        specs = self.folder / "specs"
        specs.mkdir(exist_ok=True)
        for old in specs.iterdir():
            old.unlink()
        admin: Mapping[str, Any] = {"host": "ingress", "port": 9901}
        settings = {"name": self.name, "admin": admin, **self.settings}
        (specs / "mesh.yaml").write_text(json.dumps(settings))
        for service, hosts in self.hosts.items():
            document = {
                "protocol": "HTTP",
                "hosts": list(hosts.values()),
                **self.documents.get(service, {}),
            }
            (specs / f"{service}.yaml").write_text(json.dumps(document))
        built(specs, self.out)
        return self.out


def small_mesh(folder: Path, name: str) -> Mesh:
    """Two services on three hosts."""
    mesh = Mesh(folder, name)
    mesh.put("app", "app1", "10.0.0.1")
    mesh.put("app", "app2", "10.0.0.2")
    mesh.put("web", "web1", "10.0.0.3")
    return mesh


HOSTS = 30
"""Enough for two transactions."""


def fill(mesh: Mesh, third: int, *, hosts: int = HOSTS) -> None:
    mesh.hosts = {}
    for number in range(hosts):
        mesh.put("app", f"app{number}", f"10.0.{third}.{number + 1}")


def expected(mesh: Mesh) -> dict[str, dict[str, tuple[str, str, int]]]:
    """What the documents say, worked out here."""
    found: dict[str, dict[str, tuple[str, str, int]]] = {}
    for service, hosts in mesh.hosts.items():
        for node, host in hosts.items():
            address = host["ingressAddr"]["host"]
            found.setdefault(f"meshc-{mesh.name}-{node}", {}).update(
                {
                    f"meshc:{mesh.name}:service:{service}:{node}": (
                        service,
                        address,
                        host["ingressAddr"]["port"],
                    ),
                    f"meshc:{mesh.name}:admin:{node}": ("envoy-admin", address, 9901),
                }
            )
    return found
