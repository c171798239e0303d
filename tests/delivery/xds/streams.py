"""A client's end of a pure stream: writes requests, reads responses with protobuf's own parser."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf.message_factory import GetMessageClass

from meshc.delivery.xds.protocol.snapshot import Encoded, Snapshot, TypeSet, encoded
from meshc.delivery.xds.protocol.types import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    ROUTE,
    RUNTIME,
    SECRET,
    TypeUrl,
)
from meshc.delivery.xds.protocol.wire import read_delta_request, read_request
from meshc.proto import load_schema

if TYPE_CHECKING:
    from meshc.delivery.xds.protocol.stream import Stream

DRAIN_S = 60.0
RELEASE_S = DRAIN_S + 5
"""The drain time, and the seconds of grace after it."""
THING = TypeUrl("type.googleapis.com/tests.Thing")
"""A type that meshc knows nothing of."""
_KINDS = {
    "clusters": CLUSTER,
    "endpoints": ENDPOINT,
    "listeners": LISTENER,
    "routes": ROUTE,
    "secrets": SECRET,
    "runtimes": RUNTIME,
    "extensions": EXTENSION,
    "things": THING,
}


@functools.cache
def message_class(name: str) -> Any:
    """Return the class of a discovery message, from Envoy's own descriptors."""
    pool = load_schema("1.40.0").pool
    return GetMessageClass(pool.FindMessageTypeByName(f"envoy.service.discovery.v3.{name}"))


def resource(type_url: TypeUrl, name: str, content: str = "1") -> Encoded:
    """Make a resource; a cluster ``c`` waits for endpoints ``e-c``."""
    endpoints = f"e-{name}" if type_url == CLUSTER else None
    return encoded(type_url, name, f"{name}={content}".encode(), endpoints=endpoints)


def snapshot(**names: str) -> Snapshot:
    """``snapshot(clusters="a b2", listeners="l")``: a digit at the end of a name is its content."""
    types = {
        _KINDS[kind]: TypeSet.of(
            resource(
                _KINDS[kind],
                one.rstrip("0123456789"),
                one.lstrip("abcdefghijklmnopqrstuvwxyz-") or "1",
            )
            for one in text.split()
        )
        for kind, text in names.items()
    }
    return Snapshot(node="n", generation=str(names), types=types, drain_s=DRAIN_S)


@dataclass
class Client:
    """Drives one stream and remembers what it was sent."""

    stream: Stream
    now: float = 100.0
    nonces: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def ask(self, type_url: str, *names: str, **fields: Any) -> list[Any]:
        """Send a state-of-the-world request with the last nonce and version of its type."""
        message = message_class("DiscoveryRequest")(
            type_url=type_url,
            resource_names=names,
            response_nonce=fields.pop("nonce", self.nonces.get(type_url, "")),
            version_info=fields.pop("version", self.versions.get(type_url, "")),
        )
        if (error := fields.pop("error", None)) is not None:
            message.error_detail.message = error
        return self._parsed(
            self.stream.request(read_request(message.SerializeToString()), self.now)
        )

    def ask_delta(self, type_url: str, **fields: Any) -> list[Any]:
        """Send a delta request."""
        message = message_class("DeltaDiscoveryRequest")(
            type_url=type_url,
            resource_names_subscribe=fields.get("subscribe", ()),
            resource_names_unsubscribe=fields.get("unsubscribe", ()),
            initial_resource_versions=fields.get("known", {}),
            response_nonce=fields.get("nonce", ""),
        )
        if (error := fields.get("error")) is not None:
            message.error_detail.message = error
        return self._parsed(
            self.stream.request(read_delta_request(message.SerializeToString()), self.now)
        )

    def acknowledge(self, response: Any, *names: str) -> list[Any]:
        """Accept a response; a state-of-the-world client repeats its names."""
        if self.stream.is_delta:
            return self.ask_delta(response.type_url, nonce=response.nonce)
        self.versions[response.type_url] = response.version_info
        return self.ask(response.type_url, *names)

    def refuse(self, response: Any, *names: str, reason: str = "no") -> list[Any]:
        """Refuse a response."""
        if self.stream.is_delta:
            return self.ask_delta(response.type_url, nonce=response.nonce, error=reason)
        return self.ask(response.type_url, *names, error=reason)

    def publish(self, new: Snapshot) -> list[Any]:
        """Put a new snapshot before the stream."""
        return self._parsed(self.stream.publish(new, self.now))

    def wait(self, seconds: float) -> list[Any]:
        """Let time pass."""
        self.now += seconds
        return self._parsed(self.stream.tick(self.now))

    def _parsed(self, sent: list[bytes]) -> list[Any]:
        kind = "DeltaDiscoveryResponse" if self.stream.is_delta else "DiscoveryResponse"
        found = [message_class(kind).FromString(data) for data in sent]
        for one in found:
            self.nonces[one.type_url] = one.nonce
        return found


def names_in(response: Any) -> list[str]:
    """Names of the resources in a response; they stand in their bodies here."""
    if hasattr(response, "removed_resources"):
        return [one.name for one in response.resources]
    return [one.value.decode().partition("=")[0] for one in response.resources]


def contents_in(response: Any) -> list[str]:
    """Bodies of the resources in a response."""
    return [getattr(one, "resource", one).value.decode() for one in response.resources]
