"""Facts about a service's instances in the mesh, for everybody who registers or finds hosts.

They lie in the bundle beside the service's endpoints and are not delivered to hosts; a node's own
travel in the pointer of a published bundle.  Whoever reads them acts on what they say, so names,
addresses and ports are judged once more by the rules that the build keeps.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.diagnostics.errors import BundleError
from meshc.diagnostics.names import is_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts:
    """One instance of a service: where callers reach it, and where its Envoy's admin listens.

    ``labels`` are those of its host, the mesh's among them; ``region`` and ``zone`` are empty
    where nothing is known.
    """

    service: str
    protocol: str
    service_labels: Mapping[str, str]
    node: str
    address: str
    port: int
    admin_address: str
    admin_port: int
    region: str
    zone: str
    labels: Mapping[str, str]
    weight: int

    def to_json(self) -> dict[str, Any]:
        """Return what `facts_from_json` reads: the file's entry and its service's facts."""
        locality = {"region": self.region, "zone": self.zone}
        return {
            "service": self.service,
            "protocol": self.protocol,
            "service_labels": dict(self.service_labels),
            "node": self.node,
            "address": self.address,
            "port": self.port,
            "admin": {"address": self.admin_address, "port": self.admin_port},
            "locality": {key: value for key, value in locality.items() if value},
            "labels": dict(self.labels),
            "weight": self.weight,
        }


def parse_instances(text: bytes, service: str) -> tuple[InstanceFacts, ...]:
    """Read a service's ``instances.json``; raises BundleError where it is damaged."""
    try:
        data = json.loads(text)
        shared = {
            "service": data["service"],
            "protocol": data["protocol"],
            "service_labels": data["labels"],
        }
        facts = tuple(facts_from_json({**entry, **shared}) for entry in data["instances"])
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise _damaged(service, f"{type(error).__name__}: {error}") from error
    if data["service"] != service:
        raise _damaged(service, f"they are those of {data['service']!r}")
    if len({one.node for one in facts}) < len(facts):
        raise _damaged(service, "a node is named twice")
    return facts


def facts_from_json(data: Mapping[str, Any]) -> InstanceFacts:
    """Read what `InstanceFacts.to_json` gives; raises BundleError where it breaks a rule."""
    try:
        admin, locality = data["admin"], data["locality"]
        return InstanceFacts(
            service=_name(data["service"]),
            protocol=_name(data["protocol"]),
            service_labels=_labels(data["service_labels"]),
            node=_name(data["node"]),
            address=_address(data["address"]),
            port=_port(data["port"]),
            admin_address=_address(admin["address"]),
            admin_port=_port(admin["port"]),
            region=_name(locality["region"]) if "region" in locality else "",
            zone=_name(locality["zone"]) if "zone" in locality else "",
            labels=_labels(data["labels"]),
            weight=_number(data["weight"]),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(str(data.get("service")), f"{type(error).__name__}: {error}") from error


def _name(value: object) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise ValueError(f"{value!r} is not a name")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _address(value: object) -> str:
    return str(ipaddress.ip_address(_text(value)))


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{value!r} is not a number above zero")
    return value


def _port(value: object) -> int:
    if _number(value) > _LAST_PORT:
        raise ValueError(f"{value!r} is not a port")
    return _number(value)


def _labels(value: Mapping[str, object]) -> dict[str, str]:
    return {_text(key): _text(one) for key, one in value.items()}


def _damaged(service: str, why: str) -> BundleError:
    return BundleError(
        f'the facts about the instances of service "{service}" are damaged: {why}',
        hint="build again; whoever edits files in the output must edit specs instead",
    )
