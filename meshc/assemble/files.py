"""Which files a service and a node have, and their lines in the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from meshc.artifact.layout import (
    BOOTSTRAP,
    CDS,
    LDS,
    SERVICES,
    endpoints_path,
    health_path,
    instances_path,
    node_directory,
    routes_path,
)
from meshc.artifact.manifest import file_digest
from meshc.compile.emit import emit, emit_bootstrap
from meshc.compile.resources import ResourceSet, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshc.compile.compiler import CompiledNode, CompiledService
    from meshc.compile.interfaces import CompileContext
    from meshc.compile.resources import Message, Resource
    from meshc.model.mesh import Instance, Node, NodeId, Service
    from meshc.plan.types import NodePlan, NodeShape


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFiles:
    """The files of one service or node, and its manifest line as JSON text."""

    files: tuple[tuple[str, bytes], ...]
    line: str


def service_files(
    service: Service, compiled: CompiledService, nodes: Mapping[NodeId, Node]
) -> UnitFiles:
    """Return endpoints and routes of a service, each a file with exactly one resource.

    No Envoy reads the rule of a caller that follows the health of endpoints, nor the file about
    instances that a service in the mesh has.
    """
    files = [(path, emit(ResourceSet((one,)))) for path, one in shared_files_of(service, compiled)]
    files += [(rule.path, rule.to_bytes()) for rule in compiled.health.values()]
    if service.instances:
        files.append((instances_path(service.name), _instances_file(service, nodes)))
    digests = {path.rpartition("/")[2]: file_digest(data) for path, data in files}
    return UnitFiles(files=tuple(files), line=_json(digests))


def _instances_file(service: Service, nodes: Mapping[NodeId, Node]) -> bytes:
    """Write what `parse_instances` reads."""
    facts = {
        "service": service.name,
        "protocol": service.protocol,
        "labels": dict(service.labels),
        "instances": [_instance(one, nodes[one.node]) for one in service.instances],
    }
    return encode(facts) + b"\n"


def _instance(instance: Instance, node: Node) -> Message:
    """Tell about an instance; what several services say about one host holds for all of them."""
    region, zone = node.locality
    locality = {"region": region, "zone": zone} if zone else {"region": region}
    return {
        "node": node.id,
        "address": instance.ingress.host,
        "port": instance.ingress.port,
        "admin": {"address": node.admin.host, "port": node.admin.port},
        "locality": locality if region else {},
        "labels": dict(node.labels),
        "weight": instance.weight,
    }


def shared_files_of(service: Service, compiled: CompiledService) -> Iterator[tuple[str, Resource]]:
    """Yield the path of each file that callers share, and the one resource in it."""
    for consumer, endpoints in compiled.endpoints.items():
        yield endpoints_path(service.name, consumer), endpoints
    if compiled.inbound_routes is not None:
        yield routes_path(service.name, "inbound", None), compiled.inbound_routes
    for consumer, routes in compiled.outbound_routes.items():
        yield routes_path(service.name, "outbound", consumer), routes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeFiles:
    """What the files and manifest lines of all nodes of one shape have in common."""

    cds: bytes
    cds_digest: str
    uses: orjson.Fragment
    """The shared files that their Envoys and agents read, as JSON."""
    subscriptions: int


def shape_files(plan: NodePlan, compiled: CompiledNode, context: CompileContext) -> ShapeFiles:
    """Write what follows from a node's shape alone."""
    cds = emit(compiled.clusters)
    watched = subscriptions(plan.shape, context)
    used = [*watched, *_rules(plan.shape)]
    uses = orjson.dumps(_names_by_service(used), option=orjson.OPT_SORT_KEYS)
    return ShapeFiles(
        cds=cds,
        cds_digest=file_digest(cds),
        uses=orjson.Fragment(uses),
        subscriptions=len(watched),
    )


def node_files(node: Node, compiled: CompiledNode, shape: ShapeFiles) -> UnitFiles:
    """Return a node's own files.

    Its line also names the shared files that its Envoy and its agent read, and the services that
    run on it.
    """
    folder = node_directory(node.id)
    bootstrap = emit_bootstrap(compiled.bootstrap)
    lds = emit(compiled.listeners)
    line = {
        BOOTSTRAP: file_digest(bootstrap),
        CDS: shape.cds_digest,
        LDS: file_digest(lds),
        "runs": [instance.service for instance in node.instances],
        "uses": shape.uses,
    }
    files = (
        (f"{folder}/{BOOTSTRAP}", bootstrap),
        (f"{folder}/{CDS}", shape.cds),
        (f"{folder}/{LDS}", lds),
    )
    return UnitFiles(files=files, line=_json(line))


def _names_by_service(paths: Iterable[str]) -> dict[str, list[str]]:
    used: dict[str, set[str]] = {}
    for path in paths:
        service, _, name = path.removeprefix(f"{SERVICES}/").partition("/")
        used.setdefault(service, set()).add(name)
    return {service: sorted(names) for service, names in used.items()}


def subscriptions(shape: NodeShape, context: CompileContext) -> list[str]:
    """Files that a node's Envoy watches beside its own two, one entry a subscription.

    Listeners with the same routes share a subscription; clusters never do.
    """
    files: list[str] = []
    if context.settings.endpoints == "file":
        files += [
            endpoints_path(cluster.service, cluster.endpoints.consumer)
            for cluster in shape.clusters
            if cluster.endpoints is not None and not cluster.endpoints.has_dns_names
        ]
    if context.settings.routes == "file":
        routes = {
            routes_path(chain.service, chain.direction.value, chain.consumer): None
            for chain in shape.chains
            if chain.has_routes
        }
        files += routes
    return files


def _rules(shape: NodeShape) -> list[str]:
    """Files that only the agent of a node reads."""
    return [
        health_path(cluster.service, cluster.endpoints.consumer)
        for cluster in shape.clusters
        if cluster.endpoints is not None and cluster.endpoints.consumer is not None
    ]


def origins_line(service: Service) -> str:
    """Return the places of a service, its hosts and its dependencies, as manifest line."""
    hosts = [(str(instance.node), instance.origin) for instance in service.instances]
    hosts += [(host.name, host.origin) for host in service.external_hosts]
    dependencies = [(upstream.service, upstream.origin) for upstream in service.upstreams]
    paths = [origin.path for _, origin in hosts + dependencies]
    start, *spans = service.origin.document.positions_of([service.origin.path, *paths])
    places = [f"{span.line}:{span.column}" for span in spans]
    line = {
        "file": start.file,
        "at": f"{start.line}:{start.column}",
        "hosts": dict(zip((name for name, _ in hosts), places, strict=False)),
        "dependencies": dict(
            zip((name for name, _ in dependencies), places[len(hosts) :], strict=True)
        ),
    }
    return _json(line)


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
