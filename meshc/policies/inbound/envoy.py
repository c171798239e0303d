"""The called side in Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile.cluster import threshold
from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.compile.interfaces import Edit, Site
    from meshc.compile.resources import Message
    from meshc.policies.inbound.spec import InboundSpec


def _cluster(value: InboundSpec, cluster: Message, _site: Site) -> None:
    # All are written: unstated, each is 1024, and a limit that callers set higher is none.
    thresholds = {
        "max_connections": threshold(value.max_connections or "none"),
        "max_pending_requests": threshold(value.max_pending_requests or "none"),
        "max_requests": threshold(value.max_requests or "none"),
    }
    cluster["circuit_breakers"] = {"thresholds": [thresholds]}


def _upstream(value: InboundSpec, options: Message, _site: Site) -> None:
    if value.idle is not None:
        options.setdefault("common_http_protocol_options", {})["idle_timeout"] = value.idle.envoy


def _manager(value: InboundSpec, manager: Message, _site: Site) -> None:
    if value.trusted_hops is not None:
        manager["use_remote_address"] = True
        manager["xff_num_trusted_hops"] = value.trusted_hops


def _route(value: InboundSpec, route: Message, _site: Site) -> None:
    if value.trusted_hops is None:
        # Envoy's own way of appending also decides who is to be believed, and would take
        # X-Forwarded-Proto away from what comes through a caller's Envoy.
        route["request_headers_to_add"] = [
            {
                "header": {
                    "key": "x-forwarded-for",
                    "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
                },
                "append_action": "APPEND_IF_EXISTS_OR_ADD",
            }
        ]


EDITS: Mapping[Scope, Edit] = {
    Scope.CLUSTER: _cluster,
    Scope.UPSTREAM: _upstream,
    Scope.MANAGER: _manager,
    Scope.ROUTE: _route,
}
