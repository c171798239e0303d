"""Where a resource says from where to fetch its routes, endpoints or secrets: from files or here.

The one difference between what lies in files and what goes over the wire.
"""

from __future__ import annotations

import enum
from typing import Any

XDS_CLUSTER = "xds"
"""Name of the cluster of this server in the bootstraps that go with it."""

_CONFIG_SOURCES = frozenset({"eds_config", "config_source", "sds_config"})
_REFRESH_DELAY = "5s"


class Variant(enum.Enum):
    """How a client fetches what a resource refers to: as it fetched the resource."""

    AGGREGATED = "aggregated"
    GRPC = "grpc"
    DELTA_GRPC = "delta-grpc"
    REST = "rest"
    GRPC_CLIENT = "grpc-client"
    """Aggregated, for gRPC's own client instead of an Envoy."""


def config_source(variant: Variant) -> dict[str, Any]:
    """Return Envoy's `ConfigSource` for a way to fetch resources."""
    if variant in {Variant.AGGREGATED, Variant.GRPC_CLIENT}:
        return {"ads": {}, "resource_api_version": "V3"}
    source: dict[str, Any] = {
        "api_type": variant.name,
        "transport_api_version": "V3",
    }
    if variant is Variant.REST:
        source |= {"cluster_names": [XDS_CLUSTER], "refresh_delay": _REFRESH_DELAY}
    else:
        source["grpc_services"] = [{"envoy_grpc": {"cluster_name": XDS_CLUSTER}}]
        # What a node says of itself takes as much room as everything else it ever asks.
        source["set_node_on_first_message_only"] = True
    return {"api_config_source": source, "resource_api_version": "V3"}


def rewritten(resource: Any, variant: Variant) -> Any:
    """Return a copy that fetches from this server what it would have read from files."""
    if isinstance(resource, dict):
        return {
            key: config_source(variant)
            if key in _CONFIG_SOURCES and _is_file(value)
            else rewritten(value, variant)
            for key, value in resource.items()
        }
    if isinstance(resource, list):
        return [rewritten(one, variant) for one in resource]
    return resource


def _is_file(source: Any) -> bool:
    return isinstance(source, dict) and "path_config_source" in source
