"""One Envoy resource, encoded once and addressed by the digest of its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from meshc.diagnostics import InternalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshc.spec.origin import Origin

Message = dict[str, Any]
"""An Envoy message as its JSON, with the field names of Envoy's documentation."""

_PREFIX = "type.googleapis.com/"
CLUSTER = _PREFIX + "envoy.config.cluster.v3.Cluster"
LISTENER = _PREFIX + "envoy.config.listener.v3.Listener"
ROUTES = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
ENDPOINTS = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
BOOTSTRAP = _PREFIX + "envoy.config.bootstrap.v3.Bootstrap"

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2
_LINE = b"\n"
_LINE_IN_LIST = b"\n    "
DIGEST_SIZE = 16


def encode(message: Message) -> bytes:
    """Write a message in the one canonical form: sorted keys, indented by two."""
    return orjson.dumps(message, option=_OPTIONS)


def digest_of(*parts: bytes) -> str:
    """Short digest for identity and versions; files are verified by SHA-256 instead."""
    state = hashlib.blake2b(digest_size=DIGEST_SIZE)
    for part in parts:
        state.update(part)
    return state.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One distinct resource.

    ``digest`` is that of its canonical JSON, ``body`` the same JSON as it stands in the list of
    a file: indented when the resource is made, and not once more for each file that it is in.
    """

    type_url: str
    name: str
    message: Message = field(repr=False)
    body: bytes = field(repr=False)
    digest: str
    origin: Origin = field(compare=False, repr=False)

    @classmethod
    def of(cls, type_url: str, name: str, message: Message, origin: Origin) -> Resource:
        """Encode a message; the body has its ``@type``, as files and responses need it."""
        text = encode({"@type": type_url, **message})
        return cls(
            type_url=type_url,
            name=name,
            message=message,
            body=text.replace(_LINE, _LINE_IN_LIST),
            digest=digest_of(text),
            origin=origin,
        )


@dataclass(frozen=True, slots=True)
class ResourceSet:
    """The resources of one file, in order, unique by name."""

    resources: tuple[Resource, ...]

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> ResourceSet:
        """Collect resources; one name for two contents is a bug of ours and refused."""
        by_name: dict[str, Resource] = {}
        for resource in resources:
            known = by_name.setdefault(resource.name, resource)
            if known.digest != resource.digest:
                raise InternalError(f"two different resources are named {resource.name!r}")
        return cls(tuple(by_name[name] for name in sorted(by_name)))
