"""SpecSet → Mesh: resolve names, join hosts into nodes, refuse what cannot be together."""

from __future__ import annotations

import difflib
from collections import defaultdict
from typing import TYPE_CHECKING

from meshc.diagnostics import Related
from meshc.model.addresses import check_addresses
from meshc.model.in_consul import check_endpoint_files, check_health, with_consul_services
from meshc.model.mesh import (
    Address,
    ExternalHost,
    Instance,
    Locality,
    Mesh,
    Node,
    NodeId,
    Service,
    ServiceName,
    Upstream,
)
from meshc.spec.fields import canonical_ip
from meshc.spec.origin import Origin
from meshc.spec.schema import PROTOCOL_SPECS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshc.diagnostics import DiagnosticSink
    from meshc.spec.load import ServiceDocument, SpecSet
    from meshc.spec.schema import AppProtocol, HostSpec, MeshSpec

_NOWHERE = Locality()
_HTTPS_PORT = 443


def link(specs: SpecSet, sink: DiagnosticSink) -> Mesh:
    """Resolve every reference; reports all that does not fit and leaves it out of the result."""
    services = _services(specs, sink)
    declared = specs.poisoned.union(service.name for service in specs.services)
    services = with_consul_services(services, declared, sink)
    _check_references(services, declared, sink)
    if not specs.is_mesh_broken:
        check_endpoint_files(services, specs, sink)
    nodes = _nodes(services, specs.mesh, sink)
    if not specs.is_mesh_broken:  # it says where the admin interface listens
        check_addresses(services, nodes, sink)
    settings_origin = None if specs.mesh_document is None else Origin(specs.mesh_document, ())
    return Mesh(
        settings=specs.mesh,
        settings_digest=specs.mesh_digest,
        settings_origin=settings_origin,
        services=services,
        nodes=nodes,
    )


def _services(specs: SpecSet, sink: DiagnosticSink) -> dict[ServiceName, Service]:
    by_folded: dict[str, ServiceDocument] = {}
    found: dict[ServiceName, Service] = {}
    for declared in sorted(specs.services, key=lambda service: service.name):
        first = by_folded.setdefault(declared.name.lower(), declared)
        if first is not declared:
            _report_double_service(first, declared, sink)
            continue
        service = _service(declared, sink)
        found[service.name] = service
    if not specs.services and not sink.has_errors:
        sink.report(
            "MC316",
            "no service is described here",
            hint="add a file such as app.yaml, or make a first mesh with: meshc init DIR",
        )
    return found


def _report_double_service(
    first: ServiceDocument, second: ServiceDocument, sink: DiagnosticSink
) -> None:
    related = [Related(_name_origin(first).key_span, "the first one")]
    if first.name == second.name:
        sink.report(
            "MC301",
            f'service "{second.name}" is described twice',
            at=_name_origin(second).key_span,
            hint="a service is one document; give one of them another name",
            related=related,
        )
    else:
        sink.report(
            "MC302",
            f'services "{first.name}" and "{second.name}" differ only in upper and lower case',
            at=_name_origin(second).key_span,
            hint="rename one: their files would be the same on some systems",
            related=related,
        )


def _name_origin(declared: ServiceDocument) -> Origin:
    return Origin(declared.document, ("name",) if declared.spec.name is not None else ())


def _service(declared: ServiceDocument, sink: DiagnosticSink) -> Service:
    spec = declared.spec
    origin = Origin(declared.document, ())
    name = ServiceName(declared.name)
    instances: list[Instance] = []
    external: list[ExternalHost] = []
    seen: dict[str, Origin] = {}
    for index, host in enumerate(spec.hosts):
        place = Origin(declared.document, ("hosts", index))
        if (first := seen.setdefault(host.name, place)) is not place:
            sink.report(
                "MC304",
                f'host "{host.name}" is listed twice in service "{name}"',
                at=place.at("name").span,
                hint="one host runs a service once; give the other entry its own name",
                related=[Related(first.at("name").span, "the first entry")],
            )
        elif host.external_addr is not None:
            external.append(_external(host, place))
        else:
            instances.append(_instance(name, host, place))
    if instances and external:
        sink.report(
            "MC311",
            f'service "{name}" has hosts inside and outside the mesh',
            at=external[0].origin.at("externalAddr").span,
            hint="make two services of it: calls to the two kinds need different settings",
            related=[Related(instances[0].origin.at("ingressAddr").span, "a host inside the mesh")],
        )
    if PROTOCOL_SPECS[spec.protocol].has_requests:
        _check_plain_text(external, name, spec.protocol, sink)
    upstreams = _upstreams(declared, name, sink)
    if external and upstreams:
        sink.report(
            "MC315",
            f'service "{name}" is outside the mesh and cannot have dependencies',
            at=origin.at("dependentServices").key_span,
            hint="there is no Envoy of ours on its hosts that could make these calls",
        )
    instances.sort(key=lambda instance: instance.node)
    external.sort(key=lambda host: host.name)
    return Service(
        name=name,
        protocol=spec.protocol,
        instances=tuple(instances),
        external_hosts=tuple(external),
        upstreams=upstreams,
        labels=spec.labels,
        policies=spec,
        digest=declared.document.source.digest,
        origin=origin,
    )


def _locality(host: HostSpec) -> Locality:
    if host.locality is None:
        return _NOWHERE
    return Locality(host.locality.region, host.locality.zone or "")


def _instance(service: ServiceName, host: HostSpec, origin: Origin) -> Instance:
    if host.ingress_addr is None or host.substance_addr is None:  # refused by the schema
        raise AssertionError(host)
    return Instance(
        service=service,
        node=NodeId(host.name),
        ingress=Address(host.ingress_addr.host, host.ingress_addr.port),
        substance=Address(host.substance_addr.host, host.substance_addr.port),
        egress_host=host.egress_host,
        weight=host.weight,
        locality=_locality(host),
        labels=host.labels,
        origin=origin,
    )


def _external(host: HostSpec, origin: Origin) -> ExternalHost:
    if host.external_addr is None:
        raise AssertionError(host)
    address = Address(host.external_addr.host, host.external_addr.port)
    return ExternalHost(
        name=host.name,
        address=address,
        has_dns_name=canonical_ip(address.host) is None,
        weight=host.weight,
        locality=_locality(host),
        labels=host.labels,
        origin=origin,
    )


def _check_plain_text(
    hosts: Iterable[ExternalHost], service: ServiceName, protocol: AppProtocol, sink: DiagnosticSink
) -> None:
    for host in hosts:
        if host.address.port == _HTTPS_PORT:
            sink.report(
                "MC323",
                f'service "{service}" is spoken to in plain text ({protocol}) at port 443, '
                "where servers expect TLS",
                at=host.origin.at("externalAddr", "port").span,
                hint="meshc does not encrypt yet: let the application encrypt and write "
                "protocol: TCP, which passes its bytes on; or take a port that speaks plain text",
            )


def _upstreams(
    declared: ServiceDocument, consumer: ServiceName, sink: DiagnosticSink
) -> tuple[Upstream, ...]:
    found: dict[str, Upstream] = {}
    for index, dependency in enumerate(declared.spec.dependent_services):
        origin = Origin(declared.document, ("dependentServices", index))
        if (first := found.get(dependency.name)) is not None:
            sink.report(
                "MC305",
                f'service "{consumer}" lists its dependency "{dependency.name}" twice',
                at=origin.at("name").span,
                hint="one entry is enough; every instance gets one port for it",
                related=[Related(first.origin.at("name").span, "the first entry")],
            )
            continue
        found[dependency.name] = Upstream(
            consumer=consumer,
            service=ServiceName(dependency.name),
            egress_port=dependency.egress_port,
            overrides=dependency,
            origin=origin,
        )
    return tuple(found[name] for name in sorted(found))


def _check_references(
    services: Mapping[ServiceName, Service], declared: frozenset[str], sink: DiagnosticSink
) -> None:
    """Judge every dependency; ``declared`` has services too whose document was refused."""
    for consumer in services.values():
        for upstream in consumer.upstreams:
            target = services.get(upstream.service)
            if target is None:
                if upstream.service not in declared:
                    _report_unknown(upstream, services, sink)
            elif target is consumer:
                sink.report(
                    "MC307",
                    f'service "{consumer.name}" depends on itself',
                    at=upstream.origin.at("name").span,
                    hint="an instance reaches its own service directly; remove the entry",
                )
            else:
                _check_dependency(upstream, target, sink)


def _report_unknown(
    upstream: Upstream, services: Iterable[ServiceName], sink: DiagnosticSink
) -> None:
    folded = {name.lower(): name for name in services}
    close = difflib.get_close_matches(upstream.service.lower(), list(folded), n=1, cutoff=0.6)
    sink.report(
        "MC306",
        f'dependency "{upstream.service}" is not a service of this mesh',
        at=upstream.origin.at("name").span,
        hint=f'did you mean "{folded[close[0]]}"?'
        if close
        else f"add a document {upstream.service}.yaml; "
        "for a service outside the mesh its hosts have externalAddr",
    )


def _check_dependency(upstream: Upstream, target: Service, sink: DiagnosticSink) -> None:
    wanted = upstream.overrides.protocol
    if wanted not in {None, target.protocol} and not target.is_only_in_consul:
        sink.report(
            "MC308",
            f'"{upstream.consumer}" speaks {wanted} to "{target.name}", '
            f"which speaks {target.protocol}",
            at=upstream.origin.at("protocol").span,
            hint="the two must be equal; leave the key out to follow the service",
            related=[Related(target.origin.at("protocol").span, "what the service speaks")],
        )
    check_health(upstream, target, sink)
    hosts = [host.weight for host in (target.instances or target.external_hosts)]
    if not any(hosts) and not target.is_only_in_consul:
        missing = "hosts with another weight than 0" if hosts else "hosts"
        sink.report(
            "MC309",
            f'dependency "{target.name}" has no {missing}, so calls to it will fail',
            at=upstream.origin.at("name").span,
            hint="list its hosts, or remove the dependency",
            related=[Related(target.origin.span, "the service without hosts")],
        )


def _nodes(
    services: Mapping[ServiceName, Service], settings: MeshSpec, sink: DiagnosticSink
) -> dict[NodeId, Node]:
    by_node: defaultdict[NodeId, list[tuple[Instance, HostSpec]]] = defaultdict(list)
    for service in services.values():
        hosts = {host.name: host for host in service.policies.hosts}
        for instance in service.instances:
            by_node[instance.node].append((instance, hosts[instance.node]))
    _check_node_case(by_node, sink)
    return {name: _node(name, by_node[name], settings, sink) for name in sorted(by_node)}


def _check_node_case(
    by_node: Mapping[NodeId, list[tuple[Instance, HostSpec]]], sink: DiagnosticSink
) -> None:
    folded: dict[str, NodeId] = {}
    for name in sorted(by_node):
        first = folded.setdefault(name.lower(), name)
        if first != name:
            sink.report(
                "MC302",
                f'hosts "{first}" and "{name}" differ only in upper and lower case',
                at=by_node[name][0][0].origin.at("name").span,
                hint="write the name the same way everywhere, or rename one host",
                related=[Related(by_node[first][0][0].origin.at("name").span, "the other one")],
            )


def _node(
    name: NodeId,
    entries: list[tuple[Instance, HostSpec]],
    settings: MeshSpec,
    sink: DiagnosticSink,
) -> Node:
    first, first_host = entries[0]
    labels = first.labels if not settings.labels else {**settings.labels, **first.labels}
    admin = _admin_of(first_host)
    locality = first.locality
    if len(entries) > 1:
        labels = {**settings.labels, **_agreed_labels(entries, sink)}
        locality = _agreed_locality(entries, sink)
        admin = _agreed_admin(entries, sink)
    if admin is None:
        host = settings.admin.host
        admin = Address(first.ingress.host if host == "ingress" else host, settings.admin.port)
    return Node(
        id=name,
        instances=tuple(instance for instance, _ in entries),
        admin=admin,
        locality=locality,
        labels=labels,
        origin=first.origin,
    )


def _admin_of(host: HostSpec) -> Address | None:
    return None if host.admin_addr is None else Address(host.admin_addr.host, host.admin_addr.port)


def _disagree(what: str, key: str, first: Instance, other: Instance, sink: DiagnosticSink) -> None:
    sink.report(
        "MC310",
        f'host "{other.node}" has another {what} here than in service "{first.service}"',
        at=other.origin.at(key).span,
        hint="the same name is the same host; make the two equal, or give it in one place only",
        related=[Related(first.origin.at(key).span, f'in service "{first.service}"')],
    )


def _agreed_labels(
    entries: list[tuple[Instance, HostSpec]], sink: DiagnosticSink
) -> dict[str, str]:
    agreed: dict[str, tuple[str, Instance]] = {}
    for instance, _ in entries:
        for key, value in instance.labels.items():
            known, first = agreed.setdefault(key, (value, instance))
            if known != value:
                _disagree(f'label "{key}"', "labels", first, instance, sink)
    return {key: value for key, (value, _) in agreed.items()}


def _agreed_locality(entries: list[tuple[Instance, HostSpec]], sink: DiagnosticSink) -> Locality:
    given = [instance for instance, _ in entries if instance.locality != _NOWHERE]
    for other in given[1:]:
        if other.locality != given[0].locality:
            _disagree("locality", "locality", given[0], other, sink)
    return given[0].locality if given else _NOWHERE


def _agreed_admin(entries: list[tuple[Instance, HostSpec]], sink: DiagnosticSink) -> Address | None:
    given = [
        (instance, admin) for instance, host in entries if (admin := _admin_of(host)) is not None
    ]
    for other, address in given[1:]:
        if address != given[0][1]:
            _disagree("adminAddr", "adminAddr", given[0][0], other, sink)
    return given[0][1] if given else None
