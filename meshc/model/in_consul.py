"""Dependencies whose hosts Consul has a say in: services that only it knows, and health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.diagnostics import Related
from meshc.model.mesh import Service
from meshc.spec.origin import Origin
from meshc.spec.schema import ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.diagnostics import DiagnosticSink
    from meshc.model.mesh import ServiceName, Upstream
    from meshc.spec.load import SpecSet

_NO_DOCUMENT = ""


def with_consul_services(
    services: Mapping[ServiceName, Service], declared: frozenset[str], sink: DiagnosticSink
) -> dict[ServiceName, Service]:
    """Return the services with those that dependencies take from Consul, all in name order.

    ``declared`` has services too whose document was refused.
    """
    found: dict[ServiceName, tuple[Service, Upstream]] = {}
    folded = {name.lower(): name for name in declared}
    for consumer in services.values():
        for upstream in consumer.upstreams:
            if upstream.overrides.source is None:
                continue
            if upstream.service in declared:
                _report_own(upstream, services.get(upstream.service), sink)
                continue
            other = folded.setdefault(upstream.service.lower(), upstream.service)
            if other != upstream.service and upstream.service not in found:
                _report_case(upstream, other, sink)
            first = found.setdefault(upstream.service, (_service(upstream), upstream))[1]
            if first.overrides.protocol != upstream.overrides.protocol:
                _report_protocols(first, upstream, sink)
    merged = {**services, **{name: service for name, (service, _) in found.items()}}
    return {name: merged[name] for name in sorted(merged)}


def _service(upstream: Upstream) -> Service:
    """Return what a dependency says about a service that nothing else in the specs describes."""
    protocol = upstream.overrides.protocol
    if protocol is None:  # refused by the schema
        raise AssertionError(upstream)
    return Service(
        name=upstream.service,
        protocol=protocol,
        instances=(),
        external_hosts=(),
        upstreams=(),
        labels={},
        policies=ServiceSpec(protocol=protocol),
        digest=_NO_DOCUMENT,
        origin=upstream.origin,
        is_only_in_consul=True,
    )


def _report_own(upstream: Upstream, own: Service | None, sink: DiagnosticSink) -> None:
    related = [] if own is None else [Related(own.origin.span, "the service")]
    sink.report(
        "MC320",
        f'dependency "{upstream.service}" is taken from Consul and is a service of this mesh',
        at=upstream.origin.at("from").key_span,
        hint='remove "from"; with health: {from: consul} only hosts that pass there are used',
        related=related,
    )


def _report_case(upstream: Upstream, other: str, sink: DiagnosticSink) -> None:
    sink.report(
        "MC302",
        f'services "{other}" and "{upstream.service}" differ only in upper and lower case',
        at=upstream.origin.at("name").span,
        hint="write the name as Consul has it, the same way everywhere",
    )


def _report_protocols(first: Upstream, other: Upstream, sink: DiagnosticSink) -> None:
    sink.report(
        "MC308",
        f'"{other.consumer}" speaks {other.overrides.protocol} to "{other.service}", and '
        f'"{first.consumer}" speaks {first.overrides.protocol} to it',
        at=other.origin.at("protocol").span,
        hint="a service speaks one protocol; make the two equal",
        related=[Related(first.origin.at("protocol").span, f'what "{first.consumer}" speaks')],
    )


def check_health(upstream: Upstream, target: Service, sink: DiagnosticSink) -> None:
    """Report a dependency that follows the health of hosts that no agent registers in Consul."""
    if upstream.overrides.health is not None and target.external_hosts:
        sink.report(
            "MC321",
            f'"{upstream.consumer}" follows the health of "{target.name}", '
            "whose hosts are outside the mesh",
            at=upstream.origin.at("health").key_span,
            hint="remove health; a service that Consul knows by itself needs no document and can "
            "be a dependency with from: consul",
            related=[
                Related(target.external_hosts[0].origin.at("externalAddr").span, "such a host")
            ],
        )


def check_endpoint_files(
    services: Mapping[ServiceName, Service], specs: SpecSet, sink: DiagnosticSink
) -> None:
    """Report what Consul shall have a say in where endpoints have no files of their own."""
    if specs.mesh.endpoints == "file":
        return
    related = []
    if specs.mesh_document is not None:
        settings = Origin(specs.mesh_document, ())
        related = [Related(settings.at("endpoints").span, "where they are put into clusters")]
    for consumer in services.values():
        for upstream in consumer.upstreams:
            if upstream.overrides.panic_threshold is not None:
                key = "from" if upstream.overrides.source is not None else "health"
                sink.report(
                    "MC322",
                    f'"{upstream.consumer}" lets Consul say which hosts of "{upstream.service}" '
                    "are used, and endpoints have no files",
                    at=upstream.origin.at(key).key_span,
                    hint=f'set endpoints: file in mesh.yaml, or remove "{key}"; '
                    "what changes at run time has to be a file of its own",
                    related=related,
                )
