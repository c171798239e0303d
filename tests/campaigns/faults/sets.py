"""Old and new files of a node, written by hand, and a folder in which a source gives them out."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from tests.delivery.node_files import (
    eds_cluster,
    endpoints,
    http_listener,
    node_files,
    routes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NODE = "n1"
Files = dict[str, bytes]

_HOST = "127.0.41.1"
_PORTS = {"a": 9001, "b": 9002, "c": 9003, "d": 9004}
_SERVER = {"a": ("127.0.41.2", 8001), "b": ("127.0.41.2", 8002)}


def node_set(
    version: str,
    *,
    listeners: Mapping[str, int],
    clusters: tuple[str, ...],
    routed: Mapping[str, str],
    servers: Mapping[str, tuple[str, int]] = _SERVER,
    admin: tuple[str, int] = (_HOST, 9901),
    host: str = _HOST,
) -> Files:
    """A complete set: listeners by service and port, EDS clusters, and which route goes where.

    The version of a shared file is a digest of what it says, as it is in a real bundle.
    """
    shared: Files = {}
    for name in clusters:
        address = servers.get(name, ("127.0.41.2", 8009))
        shared[f"{name}/eds.json"] = endpoints(f"eds-{name}-{address[1]}", name, address)
    for name in listeners:
        target = routed.get(name, name)
        shared[f"{name}/rds-outbound.json"] = routes(
            f"rds-{name}-{target}", f"outbound/{name}", f"outbound/{target}"
        )
    return node_files(
        listeners=[http_listener(f"to-{n}", (host, port), n) for n, port in listeners.items()],
        clusters=[eds_cluster(f"outbound/{name}", name) for name in clusters],
        shared=shared,
        version=version,
        admin=admin,
    )


OLD = node_set(
    "old",
    listeners={name: _PORTS[name] for name in "abd"},
    clusters=("a", "b", "d"),
    routed={},
)
NEW = node_set(
    "new",
    listeners={name: _PORTS[name] for name in "acd"},
    clusters=("a", "c", "d2"),
    routed={"d": "d2"},
    servers={"a": ("127.0.41.2", 8011)},
)
"""Against OLD: endpoints of a moved, b removed, c added, the route of d goes to another cluster."""
SWAPPED = node_set(
    "swapped",
    listeners={"a": _PORTS["d"], "b": _PORTS["b"], "d": _PORTS["a"]},
    clusters=("a", "b", "d"),
    routed={},
)
"""Against OLD: a and d have each other's address, which Envoy cannot swap in one file."""


def publish(files: Files, out: Path) -> None:
    """Lay a bundle of one node out, as a build does."""

    def digest(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    own: dict[str, object] = {}
    services: dict[str, dict[str, str]] = {}
    for path, data in files.items():
        head, _, rest = path.partition("/")
        place = out / path if rest else out / "nodes" / NODE / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        if rest:
            service, _, name = rest.partition("/")
            services.setdefault(service, {})[name] = digest(data)
        else:
            own[head] = digest(data)
    own["uses"] = {service: sorted(names) for service, names in services.items()}
    manifest = {
        "format": 1,
        "meshc": "0",
        "envoy": "1.40.0",
        "mesh": "m",
        "drain_time": "0s",
        "generation": digest(json.dumps([services, own]).encode()),
        "services": services,
        "nodes": {NODE: own},
        "origins": {},
    }
    draft = out / "manifest.draft"
    draft.write_text(json.dumps(manifest))
    draft.rename(out / "manifest.json")


def generation_name(files: Files) -> str:
    """The name of a set: the digest of its sorted paths with their digests."""
    lines = (f"{path} {hashlib.sha256(files[path]).hexdigest()}\n" for path in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
