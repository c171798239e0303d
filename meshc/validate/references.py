"""What a resource refers to by name: clusters, route files, endpoint files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CLUSTER_FIELDS = frozenset(
    {
        "cluster",  # RouteAction, TcpProxy, HttpUri, RequestMirrorPolicy
        "collector_cluster",  # ZipkinConfig
        "cluster_name",  # GrpcService.EnvoyGrpc
        "shadow_cluster",
    }
)
_ASSIGNMENT_FIELDS = frozenset({"load_assignment"})
"""A load assignment's own ``cluster_name`` names itself."""


@dataclass(frozen=True, slots=True)
class References:
    """Names that must exist on the node: clusters, and files as Envoy's configuration has them."""

    clusters: frozenset[str]
    routes: frozenset[tuple[str, str]]
    """(name of the route configuration, path of its file)"""
    endpoints: frozenset[tuple[str, str]]
    """(name of the endpoints, path of their file)"""
    secrets: frozenset[tuple[str, str]]
    """(name of the secret, path of its file; empty where it must be static)"""


def references_of(message: Mapping[str, Any]) -> References:
    """Collect what a message refers to, however deep."""
    clusters: set[str] = set()
    routes: set[tuple[str, str]] = set()
    endpoints: set[tuple[str, str]] = set()
    secrets: set[tuple[str, str]] = set()
    for key, value in _fields(message):
        if key in _CLUSTER_FIELDS and isinstance(value, str):
            clusters.add(value)
        elif key == "weighted_clusters":
            clusters.update(entry["name"] for entry in value["clusters"] if "name" in entry)
        elif key == "rds":
            routes.add((value["route_config_name"], _path(value["config_source"])))
        elif key == "eds_cluster_config":
            endpoints.add((value.get("service_name", ""), _path(value["eds_config"])))
        elif key.endswith(("sds_secret_config", "sds_secret_configs", "sds_config")):
            for entry in value if isinstance(value, list) else [value]:
                secrets.add((entry.get("name", ""), _path(entry.get("sds_config", {}))))
    return References(
        frozenset(clusters), frozenset(routes), frozenset(endpoints), frozenset(secrets)
    )


def _path(source: Mapping[str, Any]) -> str:
    path: str = source.get("path_config_source", {}).get("path", "")
    return path


def _fields(message: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(message, dict):
        for key, value in message.items():
            yield key, value
            if key not in _ASSIGNMENT_FIELDS:
                yield from _fields(value)
    elif isinstance(message, list):
        for item in message:
            yield from _fields(item)
