"""Who listens where on a host, and which of them cannot be there together."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from meshc.diagnostics import Related
from meshc.model.mesh import Address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshc.diagnostics import DiagnosticSink
    from meshc.model.mesh import Instance, Node, NodeId, Service, ServiceName
    from meshc.spec.origin import Origin

_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104, compared with, never bound


class _Listener(NamedTuple):
    """Something that listens on a node: an Envoy listener, the application, the admin page."""

    what: str
    address: Address
    origin: Origin
    is_application: bool = False
    service: str = ""


def overlaps(first: Address, second: Address) -> bool:
    """Whether two sockets cannot be bound on one host at once.

    ``::`` is taken to cover IPv4 as well, because an application that binds it usually does.
    """
    if first.port != second.port:
        return False
    if first.host == second.host:
        return True
    one, two = sorted((first.host, second.host), key=lambda host: host not in _ANY)
    if one == "::":
        return True
    return one in _ANY and (two in _ANY or ":" not in two)


def check_addresses(
    services: Mapping[ServiceName, Service], nodes: Mapping[NodeId, Node], sink: DiagnosticSink
) -> None:
    """Report clashes on each node, and hosts that claim one address between them."""
    egress_ports = {
        name: frozenset(upstream.egress_port for upstream in service.upstreams)
        for name, service in services.items()
    }
    for node in nodes.values():
        if not _is_obviously_fine(node, services, egress_ports):
            _check_node(node, services, sink)
    _check_ingress(nodes, sink)


def _is_obviously_fine(
    node: Node,
    services: Mapping[ServiceName, Service],
    egress_ports: Mapping[ServiceName, frozenset[int]],
) -> bool:
    """Tell quickly that all ports of a node differ, as they do on nearly every node."""
    if len(node.instances) != 1:
        return False
    instance = node.instances[0]
    outbound = egress_ports[instance.service]
    own = {instance.ingress.port, instance.substance.port, node.admin.port}
    return (
        len(own) == 3  # noqa: PLR2004, the three of the line above
        and len(outbound) == len(services[instance.service].upstreams)
        and own.isdisjoint(outbound)
    )


def _check_node(node: Node, services: Mapping[ServiceName, Service], sink: DiagnosticSink) -> None:
    by_port: defaultdict[int, list[_Listener]] = defaultdict(list)
    for listener in _listeners(node, services):
        by_port[listener.address.port].append(listener)
    for listeners in by_port.values():
        for first, second in combinations(listeners, 2):
            if overlaps(first.address, second.address):
                _report(node, first, second, sink)


def _listeners(node: Node, services: Mapping[ServiceName, Service]) -> Iterator[_Listener]:
    yield _Listener("Envoy's admin interface", node.admin, _admin_origin(node))
    for instance in node.instances:
        name = instance.service
        yield _Listener(
            f'traffic to "{name}" (ingressAddr)',
            instance.ingress,
            instance.origin.at("ingressAddr"),
            service=name,
        )
        yield _Listener(
            f'the application of "{name}" (substanceAddr)',
            instance.substance,
            instance.origin.at("substanceAddr"),
            is_application=True,
            service=name,
        )
        for upstream in services[name].upstreams:
            yield _Listener(
                f'calls from "{name}" to "{upstream.service}" (egressHost, egressPort)',
                Address(instance.egress_host, upstream.egress_port),
                upstream.origin.at("egressPort"),
                service=name,
            )


def _admin_origin(node: Node) -> Origin:
    for instance in node.instances:
        place = instance.origin.at("adminAddr")
        if place.exists:
            return place
    return node.origin


def _report(node: Node, first: _Listener, second: _Listener, sink: DiagnosticSink) -> None:
    if first.is_application and second.is_application:
        sink.report(
            "MC317",
            f'on host "{node.id}" services "{first.service}" and "{second.service}" share the '
            f"application address {second.address}",
            at=second.origin.span,
            hint="fine if one program serves both; otherwise give each its own port",
            related=[Related(first.origin.span, "the other service")],
        )
    elif (
        second.is_application
        and first.service == second.service
        and (first.origin.path[-1] == "ingressAddr" and first.address == second.address)
    ):
        sink.report(
            "MC312",
            f'host "{node.id}" has the same address {first.address} as ingressAddr and '
            "as substanceAddr",
            at=second.origin.span,
            hint="Envoy and the application cannot both listen there; "
            "move the application, for example to 127.0.0.1",
            related=[Related(first.origin.span, "ingressAddr")],
        )
    else:
        sink.report(
            "MC313",
            f'on host "{node.id}" {second.what} and {first.what} both need port '
            f"{second.address.port}: {second.address} and {first.address}",
            at=second.origin.span,
            hint=_clash_hint(first, second),
            related=[Related(first.origin.span, first.what)],
        )


def _clash_hint(first: _Listener, second: _Listener) -> str:
    if first.address == second.address:
        return "give one of them another port"
    return "an address that means every address leaves no room for another on the same port"


def _check_ingress(nodes: Mapping[NodeId, Node], sink: DiagnosticSink) -> None:
    claimed: dict[Address, Instance] = {}
    for node in nodes.values():
        for instance in node.instances:
            if instance.ingress.host in _ANY:
                sink.report(
                    "MC318",
                    f'ingressAddr of host "{node.id}" is {instance.ingress.host}, '
                    "to which nobody can connect",
                    at=instance.origin.at("ingressAddr", "host").span,
                    hint="write the address at which other hosts reach this one",
                )
                continue
            first = claimed.setdefault(instance.ingress, instance)
            if first.node != instance.node:
                sink.report(
                    "MC319",
                    f'hosts "{first.node}" and "{instance.node}" both have the ingressAddr '
                    f"{instance.ingress}",
                    at=instance.origin.at("ingressAddr").span,
                    hint="one address is one host; is this line a copy of the other?",
                    related=[Related(first.origin.at("ingressAddr").span, "the other host")],
                )
