"""Kinds of resources in the xDS protocol, and the order in which a client should get them."""

from __future__ import annotations

from typing import NewType

TypeUrl = NewType("TypeUrl", str)

_PREFIX = "type.googleapis.com/"

CLUSTER = TypeUrl(f"{_PREFIX}envoy.config.cluster.v3.Cluster")
ENDPOINT = TypeUrl(f"{_PREFIX}envoy.config.endpoint.v3.ClusterLoadAssignment")
LISTENER = TypeUrl(f"{_PREFIX}envoy.config.listener.v3.Listener")
ROUTE = TypeUrl(f"{_PREFIX}envoy.config.route.v3.RouteConfiguration")
SECRET = TypeUrl(f"{_PREFIX}envoy.extensions.transport_sockets.tls.v3.Secret")
RUNTIME = TypeUrl(f"{_PREFIX}envoy.service.runtime.v3.Runtime")
EXTENSION = TypeUrl(f"{_PREFIX}envoy.config.core.v3.TypedExtensionConfig")

ORDER = (CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, RUNTIME, EXTENSION)
"""Nothing is referred to before it is there: clusters and endpoints, then what leads to them."""

SHORT_NAMES = {
    CLUSTER: "CDS",
    ENDPOINT: "EDS",
    LISTENER: "LDS",
    ROUTE: "RDS",
    SECRET: "SDS",
    RUNTIME: "RTDS",
    EXTENSION: "ECDS",
}

WHOLE_STATE = frozenset({CLUSTER, LISTENER})
"""Types whose state-of-the-world answers hold everything: what is missing is removed."""
