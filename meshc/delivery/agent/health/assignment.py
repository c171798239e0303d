"""An endpoint file: its one `ClusterLoadAssignment`, read, and written to the byte as a build does.

So whatever compares files and versions, on this host or elsewhere, sees the same thing as the
same thing, whoever wrote it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_DIGEST_SIZE = 16


class Address(NamedTuple):
    """Where an endpoint is reached; the host is an IP address in its shortest form."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A resource as it stands in its file."""

    resource: dict[str, Any]

    @classmethod
    def parse(cls, path: str, data: bytes) -> Assignment:
        """Read an endpoint file; raises DeliveryError where it is none."""
        try:
            (resource,) = json.loads(data)["resources"]
            found = cls(resource)
            is_sound = resource["@type"] == _TYPE and isinstance(found.name, str)
            list(found.endpoints())
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            raise DeliveryError(f'"{path}" is no file of endpoints: {error}') from error
        if not is_sound:
            raise DeliveryError(f'"{path}" is no file of endpoints')
        return found

    @classmethod
    def of(cls, name: str, endpoints: list[dict[str, Any]]) -> Assignment:
        """Return an assignment of endpoints whose locality nobody knows."""
        groups = [{"lb_endpoints": endpoints}] if endpoints else []
        return cls(_resource(name, groups))

    @property
    def name(self) -> str:
        """What Envoy asks for."""
        name: str = self.resource["cluster_name"]
        return name

    def endpoints(self) -> Iterator[tuple[Address, str]]:
        """Yield the address of each endpoint with the name of its host, which may be empty."""
        for group in self.resource.get("endpoints", []):
            for one in group["lb_endpoints"]:
                yield _address(one), str(one["endpoint"].get("hostname", ""))

    def addresses(self) -> tuple[Address, ...]:
        """Addresses in the order of the file, each once."""
        return tuple(dict.fromkeys(address for address, _ in self.endpoints()))

    def only(self, kept: Collection[Address]) -> Assignment:
        """Return the same without all other endpoints."""
        groups = []
        for group in self.resource.get("endpoints", []):
            left = [one for one in group["lb_endpoints"] if _address(one) in kept]
            if left:
                groups.append({**group, "lb_endpoints": left})
        return Assignment(_resource(self.name, groups))

    def emit(self) -> bytes:
        """Write the file."""
        text = _text(self.resource)
        digest = _digest(text.encode())
        body = text.replace("\n", "\n    ")
        head = f'{{\n  "version_info": "{_digest(digest.encode())}",\n  "resources": [\n    '
        return f"{head}{body}\n  ]\n}}\n".encode()


def _resource(name: str, groups: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@type": _TYPE, "cluster_name": name, **({"endpoints": groups} if groups else {})}


def _address(endpoint: dict[str, Any]) -> Address:
    socket = endpoint["endpoint"]["address"]["socket_address"]
    return Address(str(socket["address"]), int(socket["port_value"]))


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=_DIGEST_SIZE).hexdigest()
