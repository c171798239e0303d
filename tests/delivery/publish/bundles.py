"""Bundles to publish, small or large, what their nodes must read, and when they are published."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshc.artifact.manifest import ManifestHeader, render_manifest
from meshc.artifact.write import BundleWriter
from meshc.delivery.publish.plan import Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MESH = "shop"
OWN = ("bootstrap.json", "cds.json", "lds.json")


@dataclass(frozen=True, slots=True)
class Mesh:
    """Nodes with what is theirs, services with their endpoints, and who calls whom."""

    nodes: Mapping[str, str]
    services: Mapping[str, str] = field(default_factory=lambda: {"app": "one"})
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def files(self, node: str) -> dict[str, bytes]:
        """What a node must read, by path on its host."""
        own = {name: _file(f"{name} of {node}: {self.nodes[node]}") for name in OWN}
        # Equal for all nodes, so that there is something to share beside services.
        own["bootstrap.json"] = _file(self.nodes[node])
        shared = {
            f"services/{service}/eds.json": _file(f"{service}: {self.services[service]}")
            for service in self.called(node)
        }
        return own | shared

    def called(self, node: str) -> tuple[str, ...]:
        return self.calls.get(node, tuple(self.services))

    def write(self, out: Path) -> None:
        """Write it as a build does."""
        nodes = {}
        files: dict[str, bytes] = {}
        for node in self.nodes:
            found = self.files(node)
            own = {name: _digest(found[name]) for name in OWN}
            uses = {service: ["eds.json"] for service in self.called(node)}
            nodes[node] = json.dumps({**own, "uses": uses})
            files |= {f"nodes/{node}/{name}": found[name] for name in OWN}
        services = {}
        for service, text in self.services.items():
            data = _file(f"{service}: {text}")
            files[f"services/{service}/eds.json"] = data
            services[service] = json.dumps({"eds.json": _digest(data)})
        manifest = render_manifest(
            ManifestHeader(meshc="0", envoy="1.40.0", mesh=MESH, drain_time="60s"),
            services=services,
            nodes=nodes,
            origins={},
        )
        with BundleWriter(out) as writer:
            for path, data in files.items():
                writer.stage(path, data)
            writer.commit(manifest)


NOW = 1_764_000_000_000
HOUR = 3_600_000
OLD = Mesh({"a": "1", "b": "1", "c": "1"}, {"app": "1", "store": "1"})
NEW = Mesh({"a": "2", "b": "1", "d": "1"}, {"app": "2", "store": "1"})
ANY = Bounds(may_shrink=True, may_be_empty=True)


def _file(text: str) -> bytes:
    return json.dumps({"text": text}).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
