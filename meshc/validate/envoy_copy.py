"""Copy a resource so that Envoy can judge it far from its node: no file, no network, no neighbour.

Everything that is not listed here stays as it is, by identity: unchanged parts are shared with
the original, so a copy costs a walk and no more.

================================== =====================================================
in the resource                    in the copy, and why
================================== =====================================================
``path_config_source``             ``ads``: the file is on the node; each one would cost
                                   Envoy an inotify instance, of which there are 128
path of a log file                 ``/dev/null``: Envoy opens log files in validate mode
certificate, key or CA by filename an inline placeholder: the file is on the node
host name in a DNS cluster         192.0.2.1: Envoy sends queries in validate mode
``preresolve_hostnames``           left out, for the same reason
inline ``route_config``            ``validate_clusters: false`` unless it says so already:
                                   the clusters are in another list, and consistency.py
                                   knows per node which there are
health checks of many endpoints    fewer endpoints, see ``max_checks``: one socket each
================================== =====================================================

Of names that other clusters must bear, a list is kept in ``references``.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NOWHERE = "/dev/null"
# RFC 5737: documentation only.  A literal needs no query.
_SOME_ADDRESS = "192.0.2.1"
_ADS: dict[str, Any] = {"ads": {}}
# Fields that name a log file, whatever message they are in.
_LOG_PATHS = frozenset({"access_log_path", "event_log_path"})
_FILE_LOGGERS = ("FileAccessLog", "FileSink")
_DNS_TYPES = frozenset({"STRICT_DNS", "LOGICAL_DNS", 1, 2})
# The word ``cluster`` below these is no reference that Envoy resolves at load time: the routes
# are told not to check, and a node's own cluster is a label.
_NO_REFERENCE_BELOW = frozenset({"route", "request_mirror_policies", "node"})
_TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"

# A pair made for this purpose, protecting nothing and trusted by nobody.  Valid until 2126;
# Envoy does not look at the date when it loads one.
_CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBkDCCATWgAwIBAgIUVIQJofjALr7QzEL/ilUd2ebqDYcwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRbWVzaGMtcGxhY2Vob2xkZXIwIBcNMjYxMTIzMjM0NDExWhgP
MjEyNjEwMzAyMzQ0MTFaMBwxGjAYBgNVBAMMEW1lc2hjLXBsYWNlaG9sZGVyMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsYpqiErbgqWNOmtStFbqRGDdhHnY9jse
qQTGvzuwSADoCx6CF7fMSKls167OcWrf5hPAX9XO1YNJ6km8n82oV6NTMFEwHQYD
VR0OBBYEFPBiW2esTygtYH00O2dHUyFbsSCNMB8GA1UdIwQYMBaAFPBiW2esTygt
YH00O2dHUyFbsSCNMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIh
AKAtO2OzbM+a4iW04kg4sDVgDDVJyoUC59UrH1qpTizrAiEAmZsm0LDaDGGyTdNG
8v/G1aE097e8w3Kw8z/rFO/vYZ4=
-----END CERTIFICATE-----
"""
_KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1JflfsRYrJ+EFGgC
QoJkG1ifCOiMl1EnBqjuUc0rS82hRANCAASximqIStuCpY06a1K0VupEYN2Eedj2
Ox6pBMa/O7BIAOgLHoIXt8xIqWzXrs5xat/mE8Bf1c7Vg0nqSbyfzahX
-----END PRIVATE KEY-----
"""
_PLACEHOLDERS = {
    "certificate_chain": _CERTIFICATE,
    "trusted_ca": _CERTIFICATE,
    "private_key": _KEY,
}


@dataclass(slots=True)
class Copier:
    """Copies resources for one bootstrap; ``references`` grows with each.

    Attributes:
        max_checks: how many actively checked endpoints one cluster may keep.
        are_routes_free: whether inline routes may name clusters that are not there.
        references: names that Envoy wants to find among the clusters of the bootstrap.
        has_replaced_source: whether some resource now waits for ADS, which must then exist.
    """

    max_checks: int
    are_routes_free: bool = True
    references: set[str] = field(default_factory=set)
    has_replaced_source: bool = False

    def copy(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return the copy; its outermost dict is new and may be changed."""
        return dict(self._walk(dict(message), ""))

    def _walk(self, node: Any, parent: str) -> Any:
        if isinstance(node, dict):
            return self._walk_mapping(node, parent)
        changed = None
        for index, value in enumerate(node):
            if isinstance(value, (dict, list)):
                new = self._walk(value, parent)
                if new is not value:
                    changed = changed or list(node)
                    changed[index] = new
        return changed or node

    def _walk_mapping(self, node: Any, parent: str) -> Any:
        changed: dict[str, Any] | None = None
        for key, value in node.items():
            if isinstance(value, (dict, list)):
                new = self._walk(value, key)
            else:
                new = self._leaf(node, key, value, parent)
            if new is not value:
                if changed is None:
                    changed = dict(node)
                changed[key] = new
        result = node if changed is None else changed
        for key, rule in _MESSAGE_RULES.items():
            if key in result:
                result = rule(self, result, key)
        return result

    def _leaf(self, node: Any, key: str, value: Any, parent: str) -> Any:
        if not isinstance(value, str) or not value:
            return value
        if key == "path":
            is_log = str(node.get("@type", "")).endswith(_FILE_LOGGERS)
            return _NOWHERE if is_log else value
        if key in _LOG_PATHS:
            return _NOWHERE
        if key == "collector_cluster":
            self.references.add(value)
        elif key == "cluster_name":
            # An endpoint list bears the name of its own cluster; "" is one by itself.
            if parent not in ("", "load_assignment"):
                self.references.add(value)
        elif key == "cluster" and parent not in _NO_REFERENCE_BELOW and not _is_tcp_proxy(node):
            self.references.add(value)
        return value


def _is_tcp_proxy(node: Any) -> bool:
    """Tell whether this is a TCP proxy, which Envoy loads without looking for its cluster."""
    return str(node.get("@type", "")).endswith(_TCP_PROXY)


def _remote_source(copier: Copier, node: Any, key: str) -> Any:
    copier.has_replaced_source = True
    return {name: value for name, value in node.items() if name != key} | _ADS


def _inline_routes(copier: Copier, node: Any, key: str) -> Any:
    routes = node[key]
    if not (copier.are_routes_free and isinstance(routes, dict)):
        return node
    if routes.get("validate_clusters", True) is not True:
        return node  # Already false, or of a wrong type that Envoy shall see.
    return {**node, key: {**routes, "validate_clusters": False}}


def _credential(_: Copier, node: Any, key: str) -> Any:
    source = node[key]
    if not (isinstance(source, dict) and isinstance(source.get("filename"), str)):
        return node
    placed = {**source, "inline_string": _PLACEHOLDERS[key]}
    del placed["filename"]
    # Watching a folder is only allowed beside a file.
    kept = {name: value for name, value in node.items() if name != "watched_directory"}
    return {**kept, key: placed}


def _no_queries(_: Copier, node: Any, key: str) -> Any:
    return {name: value for name, value in node.items() if name != key}


def _endpoints(copier: Copier, node: Any, key: str) -> Any:
    """Treat a cluster with endpoints of its own."""
    assignment = node[key]
    if _is_dns(node):
        assignment = _with_literals(assignment)
    checks = node.get("health_checks")
    if isinstance(checks, list) and checks:
        assignment = _shortened(assignment, max(1, copier.max_checks // len(checks)))
    return node if assignment is node[key] else {**node, key: assignment}


_MESSAGE_RULES: dict[str, Callable[[Copier, Any, str], Any]] = {
    "path_config_source": _remote_source,
    "route_config": _inline_routes,
    "certificate_chain": _credential,
    "trusted_ca": _credential,
    "private_key": _credential,
    "preresolve_hostnames": _no_queries,
    "load_assignment": _endpoints,
}


def _is_dns(cluster: Any) -> bool:
    if cluster.get("type") in _DNS_TYPES:
        return True
    custom = cluster.get("cluster_type")
    if not isinstance(custom, dict):
        return False
    typed = custom.get("typed_config")
    kind = typed.get("@type", "") if isinstance(typed, dict) else ""
    return "dns" in f"{custom.get('name')}{kind}".lower()


def _with_literals(node: Any) -> Any:
    """Replace host names, and nothing that Envoy would refuse, by an address."""
    if isinstance(node, list):
        return [_with_literals(value) for value in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _SOME_ADDRESS
        if key == "address" and isinstance(value, str) and value and not is_literal(value)
        else _with_literals(value)
        for key, value in node.items()
    }


def is_literal(address: str) -> bool:
    """Tell whether this is an IP address rather than a name."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def checked_endpoints(cluster: Mapping[str, Any]) -> int:
    """Return how many sockets the health checks of this cluster make Envoy open."""
    checks = cluster.get("health_checks")
    if not (isinstance(checks, list) and checks):
        return 0
    assignment = cluster.get("load_assignment")
    groups = assignment.get("endpoints") if isinstance(assignment, dict) else None
    if not isinstance(groups, list):
        return 0
    lists = [group.get("lb_endpoints") for group in groups if isinstance(group, dict)]
    return len(checks) * sum(len(found) for found in lists if isinstance(found, list))


def _shortened(assignment: Any, limit: int) -> Any:
    """Keep the first endpoints only, so that every group keeps its head and its weights."""
    groups = assignment.get("endpoints") if isinstance(assignment, dict) else None
    if not isinstance(groups, list):
        return assignment
    left = limit
    kept = []
    for group in groups:
        found = group.get("lb_endpoints") if isinstance(group, dict) else None
        if isinstance(found, list):
            if len(found) > left:
                group = {**group, "lb_endpoints": found[:left]}  # noqa: PLW2901
            left = max(0, left - len(found))
        kept.append(group)
    return {**assignment, "endpoints": kept}
