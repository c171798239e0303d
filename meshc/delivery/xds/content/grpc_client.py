"""What gRPC's own xDS client needs beside what an Envoy gets.  Pure.

Such a client asks for a listener by the name in its address, ``xds:///app``, and wants one
without an address of its own; and of endpoints it takes none without locality and weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshc.delivery.xds.protocol.types import ENDPOINT, LISTENER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.delivery.xds.protocol.types import TypeUrl

USER_AGENT = "gRPC"
"""How the names of such clients start."""

_OUTBOUND = "outbound/"
_MANAGER = (
    "type.googleapis.com/"
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def for_grpc_client(resources: list[dict[str, Any]], type_url: TypeUrl) -> list[dict[str, Any]]:
    """Return the resources of a file as gRPC's client needs them."""
    if type_url == LISTENER:
        return resources + [added for one in resources for added in _named(one)]
    if type_url == ENDPOINT:
        return [_weighted(one) for one in resources]
    return resources


def _named(listener: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a dependency that speaks HTTP is called by: its name, with its port or without."""
    name = listener["name"]
    manager = _manager(listener)
    if manager is None or not name.startswith(_OUTBOUND):
        return
    service = name.removeprefix(_OUTBOUND).partition("@")[0]
    port = listener["address"]["socket_address"]["port_value"]
    client = {
        "@type": _MANAGER,
        "stat_prefix": manager["stat_prefix"],
        "rds": manager["rds"],
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    for called in (service, f"{service}:{port}"):
        yield {
            "@type": listener["@type"],
            "name": called,
            "api_listener": {"api_listener": client},
        }


def _manager(listener: dict[str, Any]) -> dict[str, Any] | None:
    """Return how a listener speaks HTTP, None where it does not, or has its routes within."""
    for chain in listener.get("filter_chains", ()):
        for one in chain.get("filters", ()):
            config: dict[str, Any] = one.get("typed_config", {})
            if config.get("@type") == _MANAGER and "rds" in config:
                return config
    return None


def _weighted(assignment: dict[str, Any]) -> dict[str, Any]:
    """Give every locality a weight: that of its endpoints together, as where there are none."""
    return assignment | {
        "endpoints": [
            {"locality": {}, "load_balancing_weight": _weight(one)} | one
            for one in assignment.get("endpoints", ())
        ]
    }


def _weight(locality: dict[str, Any]) -> int:
    weights = [int(one.get("load_balancing_weight", 1)) for one in locality.get("lb_endpoints", ())]
    return max(1, sum(weights))
