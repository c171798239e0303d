"""Clusters: where a chain sends its requests or bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from meshc.artifact.layout import endpoints_path
from meshc.compile import names
from meshc.compile.endpoint import dns_discovery, endpoint, load_assignment, tcp_keepalive
from meshc.compile.http import HTTP_OPTIONS
from meshc.compile.interfaces import Site
from meshc.compile.resources import CLUSTER, Message, Resource
from meshc.compile.route import file_source
from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from meshc.compile.interfaces import CompileContext
    from meshc.plan.types import ClusterPlan, EndpointsPlan


NO_LIMIT = 4_294_967_295
"""The largest number that a threshold of Envoy's circuit breakers can be."""


def threshold(limit: int | Literal["none"]) -> int:
    """Return a limit as a threshold of Envoy's circuit breakers, which always have one."""
    return NO_LIMIT if limit == "none" else limit


def cluster_resource(plan: ClusterPlan, context: CompileContext) -> Resource:
    """Return the `Cluster` of a plan."""
    name = names.cluster_name(plan)
    message: Message = {
        "name": name,
        "connect_timeout": context.settings.connect_timeout.envoy,
        "upstream_connection_options": tcp_keepalive(),
        **_hosts(plan, name, context),
        **context.protocols[plan.protocol].compiler.cluster_options(plan),
    }
    site = Site.of_cluster(plan)
    options = message.get("typed_extension_protocol_options", {}).get(HTTP_OPTIONS)
    if options is not None:
        context.apply(Scope.UPSTREAM, plan.bindings, options, site)
    context.apply(Scope.CLUSTER, plan.bindings, message, site)
    return Resource.of(CLUSTER, name, message, plan.origin)


def _hosts(plan: ClusterPlan, name: str, context: CompileContext) -> Message:
    if plan.local is not None:
        hosts = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint(*plan.local)]}]}
        return {"type": "STATIC", "load_assignment": hosts}
    if plan.endpoints is None:  # outbound plans always have them
        raise AssertionError(plan)
    return _remote_hosts(plan.endpoints, name, context)


def _remote_hosts(endpoints: EndpointsPlan, name: str, context: CompileContext) -> Message:
    if endpoints.has_dns_names:
        return {
            **dns_discovery(),
            "load_assignment": load_assignment(endpoints, name),
        }
    if context.settings.endpoints == "inline":
        return {"type": "STATIC", "load_assignment": load_assignment(endpoints, name)}
    return {
        "type": "EDS",
        "eds_cluster_config": {
            "service_name": names.endpoints_name(endpoints),
            "eds_config": file_source(
                context, endpoints_path(endpoints.service, endpoints.consumer)
            ),
        },
    }
