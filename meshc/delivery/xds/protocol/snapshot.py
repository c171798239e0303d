"""What one node should have: its resources, encoded, by type and name.  Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshc.delivery.xds.protocol.wire import length_delimited, length_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshc.delivery.xds.protocol.types import TypeUrl

_ANY_TYPE_URL, _ANY_VALUE = 1, 2
_RESOURCE_VERSION, _RESOURCE_BODY, _RESOURCE_NAME = 1, 2, 3
_RESPONSE_RESOURCES = 2
_VERSION_LENGTH = 32


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Encoded:
    """One distinct resource, once for all nodes that have it; compared by identity.

    ``whole`` and ``delta`` are pieces of complete fields of the two kinds of responses, ready
    to be joined, around one message; ``endpoints`` is the name of the load assignment that a
    cluster waits for.
    """

    name: str
    version: str
    whole: tuple[bytes, ...] = field(repr=False)
    delta: tuple[bytes, ...] = field(repr=False)
    endpoints: str | None = None


def encoded(
    type_url: TypeUrl, name: str, message: bytes, *, endpoints: str | None = None
) -> Encoded:
    """Wrap a message's wire bytes for both kinds of responses; its version is their digest."""
    version = hashlib.sha256(message).hexdigest()[:_VERSION_LENGTH]
    payload = length_delimited(_ANY_TYPE_URL, type_url.encode()) + length_delimited(
        _ANY_VALUE, message
    )
    resource_version = length_delimited(_RESOURCE_VERSION, version.encode())
    body = length_head(_RESOURCE_BODY, len(payload))
    resource_name = length_delimited(_RESOURCE_NAME, name.encode())
    size = len(resource_version) + len(body) + len(payload) + len(resource_name)
    return Encoded(
        name=name,
        version=version,
        whole=(length_head(_RESPONSE_RESOURCES, len(payload)), payload),
        delta=(
            length_head(_RESPONSE_RESOURCES, size) + resource_version + body,
            payload,
            resource_name,
        ),
        endpoints=endpoints,
    )


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TypeSet:
    """All resources of one type that a node should have; ``version`` is a digest of them."""

    version: str
    resources: Mapping[str, Encoded]

    @classmethod
    def of(cls, resources: Iterable[Encoded]) -> TypeSet:
        """Make a set; equal content gives an equal version on every replica and at every time."""
        by_name = {one.name: one for one in sorted(resources, key=lambda one: one.name)}
        return cls(version_of(by_name.values()), by_name)

    def joined(self, kept: Mapping[str, Encoded]) -> TypeSet:
        """Return this set with those of the others that it has no resource of that name for."""
        extra = [one for name, one in kept.items() if name not in self.resources]
        return TypeSet.of([*self.resources.values(), *extra]) if extra else self


def version_of(resources: Iterable[Encoded]) -> str:
    """Digest of names and versions of resources, which come sorted by name."""
    digest = hashlib.sha256()
    for one in resources:
        digest.update(f"{one.name}\0{one.version}\n".encode())
    return digest.hexdigest()[:_VERSION_LENGTH]


EMPTY = TypeSet.of(())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Snapshot:
    """One node's resources of one generation, all types together.

    ``drain_s`` is how long a listener that was replaced may go on with its connections.
    ``parts`` is what the types were made from: as long as somebody has this snapshot, others
    with the same parts share them.
    """

    node: str
    generation: str
    types: Mapping[TypeUrl, TypeSet]
    drain_s: float
    parts: tuple[object, ...] = ()

    def of(self, type_url: TypeUrl) -> TypeSet:
        """Return the resources of a type; none is a set too."""
        return self.types.get(type_url, EMPTY)
