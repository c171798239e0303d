"""Endpoints of a service, and the small messages about addresses."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from meshc.compile import names
from meshc.compile.resources import ENDPOINTS, Message, Resource
from meshc.spec.fields import canonical_ip

if TYPE_CHECKING:
    from meshc.model.mesh import Address
    from meshc.plan.types import EndpointPlan, EndpointsPlan

# A dead peer is noticed after 60 s of silence and three unanswered probes 10 s apart, long
# before the kernel's own two hours, and without load worth mentioning.
_KEEPALIVE_IDLE_S = 60
_KEEPALIVE_INTERVAL_S = 10
_KEEPALIVE_PROBES = 3

# Names are looked up again after half a minute, or when their record says so.
_DNS_REFRESH = "30s"
_DNS_CLUSTER = "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster"
# An Envoy opens no listener before all names were looked up once.  Left to itself it asks a DNS
# server that does not answer for 100 s; so that one name cannot stop a whole host for that long,
# it gives up after 5 s, and goes on trying while it serves.
_DNS_QUERY_TIMEOUT_S = 1
_DNS_QUERY_TRIES = 2
_DNS_FAILURE_REFRESH = {"base_interval": "1s", "max_interval": "10s"}
_DNS_RESOLVER = (
    "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
)

_HTTP_PORT = 80
"""The one that a client leaves out of the Host header."""

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104, an application listens there


def is_ip(host: str) -> bool:
    """Whether a host is an address rather than a name."""
    return canonical_ip(host) is not None


def socket_address(host: str, port: int) -> Message:
    """Return an `Address`."""
    return {"socket_address": {"address": host, "port_value": port}}


def endpoint(host: str, port: int) -> Message:
    """Return an `LbEndpoint`; an application that listens everywhere is reached on loopback."""
    return {"endpoint": {"address": socket_address(_LOOPBACK.get(host, host), port)}}


def dns_discovery() -> Message:
    """Return the type of a cluster whose hosts are names: every address of each is a host.

    The cluster's own fields for this are deprecated since Envoy 1.40.
    """
    return {
        "cluster_type": {
            "name": "envoy.cluster.dns",
            "typed_config": {
                "@type": _DNS_CLUSTER,
                "dns_refresh_rate": _DNS_REFRESH,
                "dns_failure_refresh_rate": _DNS_FAILURE_REFRESH,
                "respect_dns_ttl": True,
                # Left to itself Envoy takes IPv6 wherever a name has it, also on hosts without.
                "dns_lookup_family": "V4_PREFERRED",
                "typed_dns_resolver_config": {
                    "name": "envoy.network.dns_resolver.cares",
                    "typed_config": {
                        "@type": _DNS_RESOLVER,
                        "query_timeout_seconds": _DNS_QUERY_TIMEOUT_S,
                        "query_tries": _DNS_QUERY_TRIES,
                    },
                },
            },
        }
    }


def tcp_keepalive() -> Message:
    """Return `UpstreamConnectionOptions` that notice a peer that vanished without a word."""
    return {
        "tcp_keepalive": {
            "keepalive_time": _KEEPALIVE_IDLE_S,
            "keepalive_interval": _KEEPALIVE_INTERVAL_S,
            "keepalive_probes": _KEEPALIVE_PROBES,
        }
    }


def keepalive_socket_options() -> list[Message]:
    """Return the same for accepted connections, as Linux socket options.

    The listener's own field for it is younger than the oldest Envoy that is supported.
    """
    sol_socket, so_keepalive = 1, 9
    ipproto_tcp, tcp_keepidle, tcp_keepintvl, tcp_keepcnt = 6, 4, 5, 6
    return [
        {"level": level, "name": name, "int_value": value, "state": "STATE_PREBIND"}
        for level, name, value in (
            (sol_socket, so_keepalive, 1),
            (ipproto_tcp, tcp_keepidle, _KEEPALIVE_IDLE_S),
            (ipproto_tcp, tcp_keepintvl, _KEEPALIVE_INTERVAL_S),
            (ipproto_tcp, tcp_keepcnt, _KEEPALIVE_PROBES),
        )
    ]


def endpoints_resource(plan: EndpointsPlan) -> Resource:
    """Return a `ClusterLoadAssignment`: that of all callers of a service, or that of one."""
    name = names.endpoints_name(plan)
    return Resource.of(ENDPOINTS, name, load_assignment(plan, name), plan.origin)


def load_assignment(plan: EndpointsPlan, cluster_name: str) -> Message:
    """Return a `ClusterLoadAssignment`, hosts grouped by locality, both in name order."""
    message: Message = {"cluster_name": cluster_name}
    by_locality = sorted(plan.endpoints, key=lambda host: (host.locality, host.name))
    groups = [
        _locality_endpoints(list(hosts), is_external=plan.is_external)
        for _, hosts in groupby(by_locality, key=lambda host: host.locality)
    ]
    if groups:
        message["endpoints"] = groups
    return message


def _authority(address: Address) -> str:
    return address.host if address.port == _HTTP_PORT else str(address)


def _locality_endpoints(hosts: list[EndpointPlan], *, is_external: bool) -> Message:
    message: Message = {
        "lb_endpoints": [_lb_endpoint(host, is_external=is_external) for host in hosts]
    }
    region, zone = hosts[0].locality
    if region:
        message["locality"] = {"region": region, "zone": zone} if zone else {"region": region}
    return message


def _lb_endpoint(host: EndpointPlan, *, is_external: bool) -> Message:
    message = endpoint(*host.address)
    if not is_external:
        # Shown by /clusters, so that an operator reads host names beside addresses.
        message["endpoint"]["hostname"] = host.name
    elif not is_ip(host.address.host):
        # What requests call it by.  Left to itself Envoy says the name without the port.
        message["endpoint"]["hostname"] = _authority(host.address)
    if host.weight != 1:
        message["load_balancing_weight"] = host.weight
    if host.labels:
        # "envoy.lb" is the key that Envoy's subset load balancing reads.
        message["metadata"] = {"filter_metadata": {"envoy.lb": dict(host.labels)}}
    return message
