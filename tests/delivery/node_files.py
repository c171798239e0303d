"""Small sets of node files, written out by hand so that no product code makes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshc.artifact.store import NodeBundle

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
_TYPES = "type.googleapis.com/envoy."


def source(path: str) -> Json:
    return {"resource_api_version": "V3", "path_config_source": {"path": f"./{path}"}}


def socket_address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def response(version: str, *resources: Json) -> bytes:
    return json.dumps({"version_info": version, "resources": list(resources)}).encode()


def eds_cluster(name: str, service: str, **more: Any) -> Json:
    return {
        "@type": f"{_TYPES}config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {
            "eds_config": source(f"services/{service}/eds.json"),
            "service_name": service,
        },
        **more,
    }


def endpoints(version: str, service: str, *addresses: tuple[str, int]) -> bytes:
    return response(
        version,
        {
            "@type": f"{_TYPES}config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": service,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket_address(*a)}} for a in addresses]}
            ],
        },
    )


def routes(version: str, name: str, cluster: str) -> bytes:
    return response(
        version,
        {
            "@type": f"{_TYPES}config.route.v3.RouteConfiguration",
            "name": name,
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}],
                }
            ],
        },
    )


def http_listener(name: str, address: tuple[str, int], service: str, **more: Any) -> Json:
    manager = {
        "@type": f"{_TYPES}extensions.filters.network"
        ".http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"outbound/{service}",
        "rds": {
            "route_config_name": f"outbound/{service}",
            "config_source": source(f"services/{service}/rds-outbound.json"),
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return _listener(name, address, "http_connection_manager", manager, more)


def tcp_listener(name: str, address: tuple[str, int], cluster: str, **more: Any) -> Json:
    proxy = {
        "@type": f"{_TYPES}extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": cluster,
        "cluster": cluster,
    }
    return _listener(name, address, "tcp_proxy", proxy, more)


def _listener(name: str, address: tuple[str, int], kind: str, config: Json, more: Json) -> Json:
    return {
        "@type": f"{_TYPES}config.listener.v3.Listener",
        "name": name,
        "address": socket_address(*address),
        "filter_chains": [
            {"filters": [{"name": f"envoy.filters.network.{kind}", "typed_config": config}]}
        ],
        **more,
    }


def bootstrap(node: str, admin: tuple[str, int]) -> bytes:
    return json.dumps(
        {
            "node": {"id": node, "cluster": "c"},
            "admin": {"address": socket_address(*admin)},
            "dynamic_resources": {
                "lds_config": source("lds.json"),
                "cds_config": source("cds.json"),
            },
        }
    ).encode()


def node_files(
    *,
    listeners: list[Json],
    clusters: list[Json],
    shared: dict[str, bytes] | None = None,
    version: str = "1",
    admin: tuple[str, int] = ("127.0.35.1", 9901),
) -> dict[str, bytes]:
    """A complete set; ``shared`` is keyed by what follows ``services/``."""
    return {
        "bootstrap.json": bootstrap("n1", admin),
        "lds.json": response(f"lds-{version}", *listeners),
        "cds.json": response(f"cds-{version}", *clusters),
        **{f"services/{path}": data for path, data in (shared or {}).items()},
    }


def bundle(files: dict[str, bytes], node: str = "n1") -> NodeBundle:
    return NodeBundle(node=node, generation="g", files=files)


def identities(directory: Path) -> dict[str, tuple[int, int]]:
    """What changes when a file is replaced or written, but not when it is read."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in directory.rglob("*.json")
    }
