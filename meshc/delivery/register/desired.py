"""Facts about instances → what shall be registered; pure."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from meshc.delivery.register.entries import (
    EXTERNAL_NODE,
    EXTERNAL_PROBE,
    MANAGED_BY,
    MESH,
    NODE,
    NODE_MESH,
    NODE_NODE,
    NODE_SERVICES,
    NodeEntry,
    ServiceEntry,
    admin_id,
    catalogue_name,
    service_id,
)
from meshc.delivery.register.metadata import Metadata
from meshc.diagnostics.errors import BundleError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshc.artifact.instances import InstanceFacts

_FORMAT = 1
"""Part of every version: what is registered of the same facts may be more one day."""
_VERSION_LENGTH = 16
_SHOWN_HOSTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What shall be registered, and what somebody should know about it."""

    nodes: tuple[NodeEntry, ...]
    notes: tuple[str, ...] = ()


class _Notes:
    """Collects notes; one that is about many hosts is written once."""

    def __init__(self) -> None:
        self._hosts: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, text: str, node: str) -> None:
        hosts = self._hosts[text]
        if not hosts or hosts[-1] != node:
            hosts.append(node)

    def written(self) -> tuple[str, ...]:
        return tuple(f"{text} ({_listed(hosts)})" for text, hosts in sorted(self._hosts.items()))


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN_HOSTS])
    more = len(names) - _SHOWN_HOSTS
    return f"{shown} and {more:,} more" if more > 0 else shown


def desired_registration(
    mesh: str, instances: Iterable[InstanceFacts], *, admin_service: str
) -> Desired:
    """Return the nodes of a mesh, sorted, each with its services and its admin interface.

    Raises:
        SettingsError: a service of the mesh has the name of the admin interfaces.
        BundleError: the facts contradict each other.
    """
    by_node: defaultdict[str, list[InstanceFacts]] = defaultdict(list)
    for facts in instances:
        if facts.service == admin_service:
            raise SettingsError(
                f'the mesh has a service "{admin_service}", the name under which the admin '
                "interfaces are registered",
                hint="give these another one: --admin-service NAME",
            )
        by_node[facts.node].append(facts)
    notes = _Notes()
    nodes = tuple(
        _node(mesh, sorted(by_node[node], key=lambda one: one.service), admin_service, notes)
        for node in sorted(by_node)
    )
    return Desired(nodes=nodes, notes=notes.written())


def _node(
    mesh: str, instances: list[InstanceFacts], admin_service: str, notes: _Notes
) -> NodeEntry:
    first = instances[0]
    if any(_host(one) != _host(first) for one in instances):
        raise BundleError(
            f'the bundle says different things about host "{first.node}" in different services',
            hint="build again; whoever edits files in the output must edit specs instead",
        )
    metadata = Metadata(
        {
            **dict((EXTERNAL_NODE, EXTERNAL_PROBE)),
            NODE_MESH: mesh,
            NODE_NODE: first.node,
        }
    )
    metadata.add_list(NODE_SERVICES, [one.service for one in instances])
    return NodeEntry(
        name=catalogue_name(mesh, first.node),
        node=first.node,
        address=first.address,
        meta=_told(metadata, first.node, notes),
        instances=tuple(_service(mesh, one, notes) for one in instances),
        admin=_admin(mesh, instances, admin_service, notes),
    )


def _host(facts: InstanceFacts) -> tuple[object, ...]:
    """What is true of the host and not of one of its services."""
    admin = (facts.admin_address, facts.admin_port)
    return (*admin, facts.region, facts.zone, dict(facts.labels))


def _service(mesh: str, facts: InstanceFacts, notes: _Notes) -> ServiceEntry:
    protocol = facts.protocol.lower()
    metadata = Metadata(
        {
            **_common(mesh, facts),
            "protocol": protocol,
            "version": _version([facts]),
        }
    )
    metadata.add_labels("label-", facts.labels)
    metadata.add_labels("service-label-", facts.service_labels)
    return ServiceEntry(
        id=service_id(mesh, facts.service, facts.node),
        name=facts.service,
        node=facts.node,
        address=facts.address,
        port=facts.port,
        tags=("meshc", f"mesh-{mesh}", protocol),
        meta=_told(metadata, facts.node, notes),
        weight=max(1, facts.weight),  # Consul refuses 0, by which a host gets no new requests
    )


def _admin(
    mesh: str, instances: list[InstanceFacts], admin_service: str, notes: _Notes
) -> ServiceEntry:
    first = instances[0]
    address = ip_address(first.admin_address)
    if address.is_loopback and not ip_address(first.address).is_loopback:
        notes.add(
            "the admin interface listens on loopback, so Prometheus on another machine cannot "
            "reach it; see admin in mesh.yaml",
            first.node,
        )
    metadata = Metadata({**_common(mesh, first), "version": _version(instances)})
    metadata.add_list("services", [one.service for one in instances])
    metadata.add_labels("label-", first.labels)
    return ServiceEntry(
        id=admin_id(mesh, first.node),
        name=admin_service,
        node=first.node,
        # Who listens everywhere is reached where the services are.
        address=first.address if address.is_unspecified else first.admin_address,
        port=first.admin_port,
        tags=("meshc", f"mesh-{mesh}"),
        meta=_told(metadata, first.node, notes),
        weight=1,
    )


def _common(mesh: str, facts: InstanceFacts) -> dict[str, str]:
    meta = {**dict((MANAGED_BY,)), MESH: mesh, NODE: facts.node}
    if facts.region:
        meta["locality"] = f"{facts.region}/{facts.zone}" if facts.zone else facts.region
    return meta


def _told(metadata: Metadata, node: str, notes: _Notes) -> Mapping[str, str]:
    for note in metadata.notes:
        notes.add(note, node)
    return metadata.pairs


def _version(facts: list[InstanceFacts]) -> str:
    """Digest of everything that registration knows; it changes exactly when something of that does.

    What an agent checks is not shown by Consul, and is told from this.
    """
    content: list[Any] = [_FORMAT, *(one.to_json() for one in facts)]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_LENGTH]
