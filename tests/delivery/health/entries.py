"""Entries of Consul's answers about health, and endpoint files, written by hand."""

from __future__ import annotations

import json
from typing import Any

from meshc.artifact.health import HealthRule

Entry = dict[str, Any]

_TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def entry(
    address: str,
    port: Any = 80,
    status: str = "passing",
    *,
    name: str = "",
    node_address: str = "10.9.9.9",
    **service: Any,
) -> Entry:
    """One instance as Consul has it, with a check of its node and one of its own."""
    identity = name or f"{address}-{port}"
    return {
        "Node": {"Node": f"n-{identity}", "Address": node_address, "Meta": {}},
        "Service": {
            "ID": identity,
            "Service": "app",
            "Tags": [],
            "Address": address,
            "Port": port,
            "Meta": {},
            "Weights": {"Passing": 1, "Warning": 1},
            **service,
        },
        "Checks": [
            {"CheckID": "serfHealth", "Status": "passing", "ServiceID": ""},
            {"CheckID": "own", "Status": status, "ServiceID": identity},
        ],
    }


def rule(panic_threshold: int = 50, *tags: str, is_only_in_consul: bool = False) -> HealthRule:
    return HealthRule(
        mesh="shop",
        service="app",
        consumer="front",
        panic_threshold=panic_threshold,
        tags=tags,
        is_only_in_consul=is_only_in_consul,
    )


def file(*addresses: str | tuple[str, int], name: str = "app@front") -> bytes:
    """An endpoint file; its version says nothing."""
    places = [one if isinstance(one, tuple) else (one, 80) for one in addresses]
    endpoints = [
        {
            "endpoint": {
                "address": {"socket_address": {"address": host, "port_value": port}},
                "hostname": f"h-{host}",
            }
        }
        for host, port in places
    ]
    groups = [{"lb_endpoints": endpoints}] if endpoints else []
    resource = {"@type": _TYPE, "cluster_name": name, **({"endpoints": groups} if groups else {})}
    return json.dumps({"version_info": "v", "resources": [resource]}).encode()


def addresses(data: bytes) -> list[str]:
    """Addresses in a file, as ``host:port``."""
    (resource,) = json.loads(data)["resources"]
    sockets = [
        one["endpoint"]["address"]["socket_address"]
        for group in resource.get("endpoints", [])
        for one in group["lb_endpoints"]
    ]
    return [f"{one['address']}:{one['port_value']}" for one in sockets]
