"""Consul's instances of a service: what is believed of an answer, and what is not; pure.

Whoever may write to Consul's catalogue can put anything there.  An answer may be wrong, and then
costs what it is about; it must not cost more.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.health.assignment import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_INSTANCES = 1_000
"""An answer with more is not believed at all: no service of such a mesh has as many."""
_LAST_PORT = _MOST_WEIGHT = 65_535
_MOST_TAGS = 64
_LONGEST = 256
_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}\Z")
_MANAGED = ("managed-by", "meshc")
_MESH, _NODE = "mesh", "node"
"""What `meshc consul sync` writes into the metadata of a service."""
_METADATA_SERVICES = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16"))
)
"""Where clouds give out a host's credentials, beside link-local addresses."""
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance as Consul has it.

    ``address`` is None where it has none that could be used, and ``told`` is what it has then;
    ``mesh`` and ``node`` are those of a mesh's own registration, else empty.
    """

    id: str
    address: Address | None
    told: str
    is_passing: bool
    host: str
    mesh: str
    node: str
    tags: frozenset[str]
    weight: int


def read_instances(found: Sequence[dict[str, Any]]) -> tuple[Instance, ...]:
    """Read an answer about the health of a service, sorted so that equal ones are equal."""
    instances = [_instance(one) for one in found]
    return tuple(sorted(instances, key=lambda one: (one.id, one.told, one.host)))


def _instance(entry: dict[str, Any]) -> Instance:
    node, service = _part(entry, "Node"), _part(entry, "Service")
    meta = _part(service, "Meta")
    is_ours = meta.get(_MANAGED[0]) == _MANAGED[1]
    told = str(service.get("Address") or node.get("Address") or "")[:_LONGEST]
    port = service.get("Port")
    name = str(node.get("Node", ""))
    return Instance(
        id=str(service.get("ID", ""))[:_LONGEST],
        address=_usable(told, port),
        told=f"{told}:{port!s:.8}",
        is_passing=_is_passing(entry.get("Checks")),
        host=name if _HOST_NAME.match(name) else "",
        mesh=str(meta.get(_MESH, "")) if is_ours else "",
        node=str(meta.get(_NODE, "")) if is_ours else "",
        tags=_tags(service.get("Tags")),
        weight=_weight(_part(service, "Weights").get("Passing")),
    )


def _usable(host: str, port: Any) -> Address | None:
    address = ip_text(host)
    is_port = type(port) is int and 0 < port <= _LAST_PORT
    return Address(address, port) if address is not None and is_port else None


def _part(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _is_passing(checks: Any) -> bool:
    """Whether every check passes, that of the host among them; one without checks does."""
    if checks is None:
        return True
    return isinstance(checks, list) and all(
        isinstance(one, dict) and one.get("Status") == "passing" for one in checks
    )


def _tags(value: Any) -> frozenset[str]:
    tags: Iterable[Any] = value[:_MOST_TAGS] if isinstance(value, list) else ()
    return frozenset(one for one in tags if isinstance(one, str) and len(one) <= _LONGEST)


def _weight(value: Any) -> int:
    return value if type(value) is int and 0 < value <= _MOST_WEIGHT else 1


def ip_text(text: str) -> str | None:
    """Return an IP address as a build writes it, or None where the text is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return str(address.ipv4_mapped or address)
    return str(address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where nothing of Consul's may lead on this host.

    ``admin`` is where its Envoy's admin interface listens; ``may_loop`` says that somebody has
    allowed loopback addresses, at which listen things that trust whoever can reach them.
    """

    admin: Address | None = None
    may_loop: bool = False


def why_unusable(address: Address | None, limits: Limits) -> str:
    """Return why no request is sent to an address that only Consul knows; empty: it may be."""
    if address is None:
        return "no IP address and port"
    ip = ipaddress.ip_address(address.host)
    if ip.is_loopback and not limits.may_loop:
        return "a loopback address"
    is_nobodys = ip.is_unspecified or ip.is_multicast or ip.is_reserved or ip in _THIS_NETWORK
    if is_nobodys and not ip.is_loopback:  # ::1 is reserved as well
        return "an address that nobody has"
    if ip.is_link_local or ip in _METADATA_SERVICES:
        return "a link-local address, or that of a cloud's metadata"
    admin = limits.admin
    if admin is not None and address.port == admin.port and (ip.is_loopback or address == admin):
        return "the admin interface of this host's Envoy"
    return ""
