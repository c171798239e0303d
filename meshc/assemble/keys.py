"""What the files of a service or node depend on, as one digest each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile.resources import digest_of
from meshc.spec.policies import PoliciesSpec

if TYPE_CHECKING:
    from meshc.model.mesh import Mesh, Node, Service, ServiceName, Upstream

_POLICY_FIELDS = frozenset(PoliciesSpec.model_fields)


class DependencyKeys:
    """Computes keys for one mesh under one tool and one set of checks."""

    def __init__(self, mesh: Mesh, *, base: str) -> None:
        self._mesh = mesh
        self._base = f"{base}\n{mesh.settings.name}\n{mesh.settings_digest}"
        self._faces: dict[ServiceName, str] = {}

    def service(self, service: Service, overriding: tuple[Upstream, ...]) -> str:
        """Key of a service's shared files: its document, and callers that override something."""
        parts = [self._base, service.name, service.digest, self._shared_hosts(service)]
        # The manifest says in which file a service is described; a document that moves is the same.
        parts.append(service.origin.document.source.name)
        for upstream in overriding:
            parts += (upstream.consumer, self._mesh.services[upstream.consumer].digest)
        return digest_of("\n".join(parts).encode())

    def node(self, node: Node) -> str:
        """Key of a node's own files: the documents of its services, and what these call."""
        parts = [self._base, node.id]
        for instance in node.instances:
            service = self._mesh.services[instance.service]
            parts += (service.name, service.digest)
            parts += [self._face(upstream.service) for upstream in service.upstreams]
        return digest_of("\n".join(parts).encode())

    def _shared_hosts(self, service: Service) -> str:
        """Return what other services' documents may say about the hosts of a service.

        Whatever else its files tell about them is in its own document or in the settings.
        """
        nodes = (self._mesh.nodes[instance.node] for instance in service.instances)
        return "".join(
            f"{node.id}={node.locality} {node.admin} {sorted(node.labels.items())}"
            for node in nodes
            if len(node.instances) > 1
        )

    def _localities(self, service: Service) -> str:
        """Return where the hosts of a service stand, which another service's document may say."""
        nodes = (self._mesh.nodes[instance.node] for instance in service.instances)
        return "".join(f"{node.id}={node.locality}" for node in nodes if node.locality.region)

    def _face(self, name: ServiceName) -> str:
        """Return what callers' own files know of a service; its hosts are not part of that.

        They are where its endpoints stand inside the callers' clusters.
        """
        known = self._faces.get(name)
        if known is None:
            service = self._mesh.services[name]
            has_dns_names = any(host.has_dns_name for host in service.external_hosts)
            known = f"{service.protocol} {bool(service.external_hosts)} {has_dns_names}"
            inside_clusters = has_dns_names or self._mesh.settings.endpoints == "inline"
            if inside_clusters or not _POLICY_FIELDS.isdisjoint(service.policies.model_fields_set):
                known += service.digest + self._localities(service)
            self._faces[name] = known
        return known
