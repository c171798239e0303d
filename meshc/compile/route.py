"""Route configurations: one virtual host with one route, with every timeout stated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.artifact.layout import on_host, routes_path
from meshc.compile import names
from meshc.compile.resources import ROUTES, Message, Resource
from meshc.plan.types import Direction
from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from meshc.compile.interfaces import CompileContext
    from meshc.plan.types import ChainPlan


def routes_resource(chain: ChainPlan, context: CompileContext) -> Resource:
    """Return the `RouteConfiguration` of a chain."""
    name = names.chain_name(chain)
    return Resource.of(ROUTES, name, route_configuration(chain, context), chain.origin)


def route_configuration(chain: ChainPlan, context: CompileContext) -> Message:
    """Return a `RouteConfiguration` that sends every request to the chain's cluster."""
    route: Message = {
        "match": {"prefix": "/"},
        "decorator": {"operation": chain.service},  # the name of the span
        "route": _route_action(chain),
    }
    context.apply(Scope.ROUTE, chain.bindings, route["route"])
    return {
        "name": names.chain_name(chain),
        "virtual_hosts": [{"name": chain.service, "domains": ["*"], "routes": [route]}],
    }


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
