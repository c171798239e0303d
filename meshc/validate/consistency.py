"""The whole node: what Envoy itself does not check, or notices only when it is running.

Envoy accepts routes from files, TCP proxies and OpenTelemetry tracers that name a cluster which
does not exist, and then answers 503 or resets connections; it skips a dynamic cluster that has a
static one's name without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshc.validate.references import References, references_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshc.compile.compiler import CompiledNode
    from meshc.compile.resources import Resource
    from meshc.diagnostics import DiagnosticSink
    from meshc.plan.types import NodeShape


class ConsistencyCheck:
    """Checks nodes of one mesh; remembers what shared resources refer to.

    ``files`` maps the path of each shared file, as Envoy's configuration names it, to the one
    resource in it.
    """

    def __init__(self, files: Mapping[str, Resource], sink: DiagnosticSink) -> None:
        self._files = files
        self._sink = sink
        self._known: dict[int, tuple[object, References]] = {}
        self._checked: set[tuple[NodeShape, frozenset[str]]] = set()

    def check(self, node: str, compiled: CompiledNode) -> None:
        """Report dangling references, listeners that share an address, and hidden clusters.

        References follow from a node's shape, so they are looked at, and reported, at the first
        node of each shape only; addresses are a node's own.
        """
        static = _static_clusters(compiled.bootstrap.message)
        if (compiled.shape, static) not in self._checked:
            self._checked.add((compiled.shape, static))
            self._check_static(node, compiled.clusters.resources, static)
            known = static | {resource.name for resource in compiled.clusters.resources}
            for resource in (*compiled.clusters.resources, *compiled.listeners.resources):
                self._check_references(node, resource, self._references(resource), known)
        addresses: dict[tuple[str, int], Resource] = {}
        for listener in compiled.listeners.resources:
            self._check_address(node, listener, addresses)

    def _references(self, resource: Resource) -> References:
        """Collect references; listeners with the same filters are looked through once."""
        chains = resource.message.get("filter_chains")
        part = chains[0]["filters"] if chains and len(chains) == 1 else resource.message
        known = self._known.get(id(part))
        if known is None:
            message = {"filters": part} if isinstance(part, list) else resource.message
            known = self._known[id(part)] = (part, references_of(message))
        return known[1]

    def _check_references(
        self, node: str, resource: Resource, references: References, clusters: frozenset[str]
    ) -> None:
        self._check_clusters(node, resource, references.clusters, clusters)
        for kind, wanted in (("routes", references.routes), ("endpoints", references.endpoints)):
            for name, path in wanted:
                target = self._files.get(path)
                if target is None or target.name != name:
                    self._dangling(node, resource, f'{kind} "{name}" in "{path}"')
                elif kind == "routes":
                    inner = self._references(target).clusters
                    self._check_clusters(node, target, inner, clusters)
        for name, path in references.secrets:
            if path not in self._files:
                self._dangling(node, resource, f'secret "{name}"')

    def _check_clusters(
        self, node: str, resource: Resource, wanted: Iterable[str], clusters: frozenset[str]
    ) -> None:
        for name in wanted:
            if name not in clusters:
                self._dangling(node, resource, f'cluster "{name}"')

    def _dangling(self, node: str, resource: Resource, what: str) -> None:
        kind = resource.type_url.rpartition(".")[2]
        self._sink.report(
            "MC602",
            f'on node "{node}" {kind} "{resource.name}" refers to {what}, which is not there',
            at=resource.origin.span,
            hint="this is a mistake of meshc or of an extension; please report it",
        )

    def _check_address(
        self, node: str, listener: Resource, addresses: dict[tuple[str, int], Resource]
    ) -> None:
        socket = listener.message["address"].get("socket_address")
        if socket is None:
            return
        address = (socket["address"], socket["port_value"])
        first = addresses.setdefault(address, listener)
        if first is not listener:
            self._sink.report(
                "MC603",
                f'on node "{node}" listeners "{first.name}" and "{listener.name}" have the same '
                f"address {address[0]} port {address[1]}",
                at=listener.origin.span,
                hint="give one of them another port",
            )

    def _check_static(
        self, node: str, clusters: Iterable[Resource], static: frozenset[str]
    ) -> None:
        for cluster in clusters:
            if cluster.name in static:
                self._sink.report(
                    "MC604",
                    f'on node "{node}" cluster "{cluster.name}" has the name of one in the '
                    "bootstrap, and Envoy would silently use that one",
                    at=cluster.origin.span,
                    hint="rename one of the two",
                )


def _static_clusters(bootstrap: Mapping[str, Any]) -> frozenset[str]:
    clusters = bootstrap.get("static_resources", {}).get("clusters", [])
    return frozenset(cluster["name"] for cluster in clusters)
