"""The servers behind the mesh: one Envoy in which every listener answers with its own name.

It is fast enough not to be what limits the load, and never closes a connection by itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES = "type.googleapis.com/envoy.extensions.filters"
_FAULT = "envoy.filters.http.fault"
_SLOWNESS = "0.2s"


def servers_bootstrap(servers: Mapping[str, tuple[str, int]], admin: tuple[str, int]) -> bytes:
    """Return a bootstrap with a listener for each server; ``/slow`` takes a while."""
    return json.dumps(
        {
            "node": {"id": "servers", "cluster": "servers"},
            "admin": {"address": _address(admin)},
            "static_resources": {
                "listeners": [_listener(name, place) for name, place in servers.items()]
            },
        }
    ).encode()


def _address(place: tuple[str, int]) -> dict[str, Any]:
    return {"socket_address": {"address": place[0], "port_value": place[1]}}


def _listener(name: str, place: tuple[str, int]) -> dict[str, Any]:
    answer = {"direct_response": {"status": 200, "body": {"inline_string": name}}}
    delay = {
        "@type": f"{_TYPES}.http.fault.v3.HTTPFault",
        "delay": {"fixed_delay": _SLOWNESS, "percentage": {"numerator": 100}},
    }
    slow = {"match": {"prefix": "/slow"}, "typed_per_filter_config": {_FAULT: delay}, **answer}
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [slow, {"match": {"prefix": "/"}, **answer}],
                }
            ]
        },
        "http_filters": [
            {"name": _FAULT, "typed_config": {"@type": f"{_TYPES}.http.fault.v3.HTTPFault"}},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"},
            },
        ],
    }
    return {
        "name": name,
        "address": _address(place),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
