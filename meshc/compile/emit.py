"""Resources → the bytes of a file; the single place that knows how Envoy reads files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile.resources import ResourceSet, digest_of, encode

if TYPE_CHECKING:
    from meshc.compile.resources import Resource

_HEAD = b'{\n  "version_info": "%s",\n  "resources": [\n    '
_BETWEEN = b",\n    "
_TAIL = b"\n  ]\n}\n"
_EMPTY = b'{\n  "version_info": "%s",\n  "resources": []\n}\n'


def emit(resources: ResourceSet) -> bytes:
    """Write a `DiscoveryResponse` whose ``version_info`` is the digest of its resources."""
    version = version_of(resources).encode()
    if not resources.resources:
        return _EMPTY % version
    bodies = [resource.body for resource in resources.resources]
    bodies[0] = _HEAD % version + bodies[0]
    bodies[-1] += _TAIL
    return _BETWEEN.join(bodies)


def version_of(resources: ResourceSet) -> str:
    """Digest over the digests of the resources, in their order."""
    return digest_of("".join([resource.digest for resource in resources.resources]).encode())


def emit_bootstrap(resource: Resource) -> bytes:
    """Write a bootstrap file, which is the bare message."""
    return encode(resource.message) + b"\n"
