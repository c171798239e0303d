"""Route configurations: one virtual host, with every timeout stated.

Requests whose repetition is safe, and WebSockets, have routes of their own in front of the one for
all requests, where a policy treats them differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.artifact.layout import on_host, routes_path
from meshc.compile import names
from meshc.compile.failure_mark import FAILURE_HEADER
from meshc.compile.interfaces import Site
from meshc.compile.resources import ROUTES, Message, Resource
from meshc.plan.types import Direction
from meshc.spec.slices import Capability, Scope

if TYPE_CHECKING:
    from meshc.compile.interfaces import CompileContext
    from meshc.plan.types import ChainPlan


def routes_resource(chain: ChainPlan, context: CompileContext) -> Resource:
    """Return the `RouteConfiguration` of a chain."""
    name = names.chain_name(chain)
    return Resource.of(ROUTES, name, route_configuration(chain, context), chain.origin)


# What Envoys tell each other about a request, and applications pass on without knowing: nobody
# outside has use for it, and it shows how the mesh is built.
_OUR_HEADERS = (
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-force-trace",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-is-timeout-retry",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-peer-metadata",
    "x-envoy-peer-metadata-id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A kind of request: how it is recognized, and which edits it gets beside those of all."""

    headers: tuple[Message, ...] = ()
    scopes: tuple[Scope, ...] = ()
    needs: Capability = Capability.HTTP_ROUTES


# RFC 9110, 9.2.2: repeating them has the same effect as sending them once.
_IDEMPOTENT = _Kind(
    headers=(
        {
            "name": ":method",
            "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS|TRACE|PUT|DELETE"}},
        },
    ),
    scopes=(Scope.IDEMPOTENT_ACTION,),
    needs=Capability.METHODS,
)
_WEBSOCKET = _Kind(
    headers=({"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}},),
    scopes=(Scope.IDEMPOTENT_ACTION, Scope.WEBSOCKET_ACTION),
    needs=Capability.UPGRADES,
)
_ANY = _Kind()


def route_configuration(chain: ChainPlan, context: CompileContext) -> Message:
    """Return a `RouteConfiguration` that sends every request to the chain's cluster."""
    virtual_host: Message = {
        "name": chain.service,
        "domains": ["*"],
        "routes": _routes(chain, context),
        # Only the Envoy of a called host may say it, to the Envoy of a caller.
        "response_headers_to_remove": [FAILURE_HEADER],
    }
    if chain.leads_to_foreigners:
        virtual_host["request_headers_to_remove"] = list(_OUR_HEADERS)
    return {"name": names.chain_name(chain), "virtual_hosts": [virtual_host]}


def _routes(chain: ChainPlan, context: CompileContext) -> list[Message]:
    """Return the route of each kind that is treated differently from the one behind it."""
    offered = context.protocols[chain.protocol].spec.provides
    routes = [_route(chain, context, _ANY)]
    for kind in (_IDEMPOTENT, _WEBSOCKET):
        if kind.needs in offered:
            route = _route(chain, context, kind)
            if {**route, "match": routes[0]["match"]} != routes[0]:
                routes.insert(0, route)
    return routes


def _route(chain: ChainPlan, context: CompileContext, kind: _Kind) -> Message:
    site = Site.of_chain(chain)
    match: Message = {"prefix": "/"}
    if kind.headers:
        match["headers"] = list(kind.headers)
    route: Message = {
        "match": match,
        "decorator": {"operation": chain.service},  # the name of the span
        "route": _route_action(chain),
    }
    for scope in (Scope.ACTION, *kind.scopes):
        context.apply(scope, chain.bindings, route["route"], site)
    context.apply(Scope.ROUTE, chain.bindings, route, site)
    return route


def _route_action(chain: ChainPlan) -> Message:
    action: Message = {"cluster": names.cluster_name(chain.cluster)}
    if chain.direction is Direction.INBOUND:
        # The caller's Envoy limits the request; a second clock here would cut off what the
        # caller has decided to allow.  Unstated, Envoy would end it after 15 s.
        action["timeout"] = "0s"
        action["idle_timeout"] = "0s"
    endpoints = chain.cluster.endpoints
    if endpoints is not None and endpoints.has_dns_names:
        # A server outside the mesh expects its own name, not that of the local port.
        action["auto_host_rewrite"] = True
    return action


def routes_source(chain: ChainPlan, context: CompileContext) -> Message:
    """Return where a connection manager has its routes from: a file, or its own text."""
    if context.settings.routes == "inline":
        return {"route_config": route_configuration(chain, context)}
    path = routes_path(chain.service, chain.direction.value, chain.consumer)
    return {
        "rds": {
            "route_config_name": names.chain_name(chain),
            "config_source": file_source(context, path),
        }
    }


def file_source(context: CompileContext, path: str) -> Message:
    """Return a `ConfigSource` that reads a file of the node's directory."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": on_host(context.settings.xds_directory, path)},
    }
