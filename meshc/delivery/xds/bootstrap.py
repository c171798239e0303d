"""Bootstraps of the dynamic mode, made from that of the file mode: node and admin stay."""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.delivery.xds.content.rewrite import XDS_CLUSTER, Variant, config_source
from meshc.diagnostics import InternalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_CONNECT_TIMEOUT = "1s"
_PING_INTERVAL, _PING_TIMEOUT = "30s", "10s"
_SDS = "envoy.extensions.transport_sockets.tls.v3.Secret"
_NODE, _SERVER = "node-certificate", "server-authority"
"""Names of secrets, and of the files that they are in."""
_KEEPALIVE = {"keepalive_time": 60, "keepalive_interval": 10, "keepalive_probes": 3}


class Subscribing(enum.Enum):
    """How an Envoy subscribes."""

    DELTA_ADS = "delta-ads"
    ADS = "ads"
    PER_TYPE = "per-type"
    REST = "rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Paths on the host: its certificate and key, and the authority of the server's."""

    certificate: str
    key: str
    ca: str


def grpc_bootstrap(
    bootstrap: Mapping[str, Any],
    servers: Sequence[tuple[str, int]],
    *,
    subscribing: Subscribing,
    credentials: Credentials | None,
    secrets: str = "",
) -> dict[str, Any]:
    """Return what an Envoy starts with that fetches from servers instead of reading files.

    ``servers`` are (host, port); each is tried, and any will do.  ``secrets`` is the folder on
    the host with the files of `secret_files`, by which the Envoy notices renewed credentials;
    without them it reads its credentials once.
    """
    found = {key: value for key, value in bootstrap.items() if key != "dynamic_resources"}
    static = dict(found.get("static_resources", {}))
    is_rest = subscribing is Subscribing.REST
    cluster = _cluster(servers, is_http2=not is_rest)
    if credentials is not None:
        names = [host for host, _ in servers]
        tls = _read_anew(secrets) if secrets else _read_once(names, credentials)
        cluster["transport_socket"] = _transport_socket(names, tls, is_http2=not is_rest)
    found["static_resources"] = static | {"clusters": [*static.get("clusters", ()), cluster]}
    found["dynamic_resources"] = _dynamic(subscribing)
    return found


def check_bootstrap(bootstrap: Mapping[str, Any]) -> None:
    """Check a bootstrap against Envoy's schema.

    Raises:
        InternalError: it breaks it, which is a mistake of this module.
    """
    from meshc.proto import known_versions, load_schema  # noqa: PLC0415, only who prints one

    schema = load_schema(known_versions()[-1])
    found = schema.check("type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap", bootstrap)
    if found:
        raise InternalError(f"the bootstrap is wrong at {found[0].path}: {found[0].message}")


def _dynamic(subscribing: Subscribing) -> dict[str, Any]:
    match subscribing:
        case Subscribing.ADS | Subscribing.DELTA_ADS:
            is_delta = subscribing is Subscribing.DELTA_ADS
            source = config_source(Variant.AGGREGATED)
            stream = config_source(Variant.DELTA_GRPC if is_delta else Variant.GRPC)
            return {
                "ads_config": stream["api_config_source"],
                "cds_config": source,
                "lds_config": source,
            }
        case Subscribing.PER_TYPE:
            source = config_source(Variant.GRPC)
        case Subscribing.REST:
            source = config_source(Variant.REST)
    return {"cds_config": source, "lds_config": source}


def _cluster(servers: Sequence[tuple[str, int]], *, is_http2: bool) -> dict[str, Any]:
    protocol = {
        "http2_protocol_options": {
            "connection_keepalive": {"interval": _PING_INTERVAL, "timeout": _PING_TIMEOUT}
        }
    }
    cluster: dict[str, Any] = {
        "name": XDS_CLUSTER,
        "type": "STRICT_DNS",
        "dns_lookup_family": "ALL",  # it may listen at one of its addresses only
        "connect_timeout": _CONNECT_TIMEOUT,
        "upstream_connection_options": {"tcp_keepalive": _KEEPALIVE},
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [_endpoint(*server) for server in servers]}],
        },
    }
    if is_http2:
        cluster["typed_extension_protocol_options"] = {
            _HTTP2: {
                "@type": f"type.googleapis.com/{_HTTP2}",
                "explicit_http_config": protocol,
            }
        }
    return cluster


def _endpoint(host: str, port: int) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}


def _transport_socket(
    hosts: Sequence[str], tls: Mapping[str, Any], *, is_http2: bool
) -> dict[str, Any]:
    """Return TLS with certificates on both sides."""
    common = {
        **tls,
        "alpn_protocols": ["h2" if is_http2 else "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
    }
    context: dict[str, Any] = {"@type": f"type.googleapis.com/{_TLS}", "common_tls_context": common}
    if not any(_is_ip(host) for host in hosts):
        context["auto_host_sni"] = True  # only names can be sent as such
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _read_once(hosts: Sequence[str], credentials: Credentials) -> dict[str, Any]:
    return {
        "tls_certificates": [_certificate(credentials)],
        "validation_context": _authority(hosts, credentials),
    }


def _read_anew(folder: str) -> dict[str, Any]:
    return {
        "tls_certificate_sds_secret_configs": [_secret_source(folder, _NODE)],
        "validation_context_sds_secret_config": _secret_source(folder, _SERVER),
    }


def _secret_source(folder: str, name: str) -> dict[str, Any]:
    source = {"path_config_source": {"path": f"{folder}/{name}.json"}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": source}


def secret_files(hosts: Sequence[str], credentials: Credentials) -> dict[str, dict[str, Any]]:
    """Return the files that an Envoy finds its credentials by, by name.

    Envoy looks at credentials again that a secret names, once they have been renamed into place;
    at those that stand in the bootstrap itself it does not.
    """
    parts = {
        _NODE: {"tls_certificate": _certificate(credentials)},
        _SERVER: {"validation_context": _authority(hosts, credentials)},
    }
    return {
        f"{name}.json": {
            "resources": [{"@type": f"type.googleapis.com/{_SDS}", "name": name, **part}]
        }
        for name, part in parts.items()
    }


def _certificate(credentials: Credentials) -> dict[str, Any]:
    return {
        "certificate_chain": {"filename": credentials.certificate},
        "private_key": {"filename": credentials.key},
    }


def _authority(hosts: Sequence[str], credentials: Credentials) -> dict[str, Any]:
    """Return whom to believe: a server's certificate has the name or address of one of them."""
    # One of the replicas may answer for another: the names are those of the same service.
    names = [{"san_type": _san_type(host), "matcher": {"exact": host}} for host in hosts]
    return {
        "trusted_ca": {"filename": credentials.ca},
        "match_typed_subject_alt_names": names,
    }


def _san_type(host: str) -> str:
    return "IP_ADDRESS" if _is_ip(host) else "DNS"


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def grpc_client_bootstrap(
    bootstrap: Mapping[str, Any],
    servers: Sequence[tuple[str, int]],
    *,
    credentials: Credentials | None,
) -> dict[str, Any]:
    """Return what a program starts with that uses gRPC's own xDS client, without an Envoy."""
    channel: dict[str, Any] = {"type": "insecure"}
    if credentials is not None:
        channel = {
            "type": "tls",
            "config": {
                "certificate_file": credentials.certificate,
                "private_key_file": credentials.key,
                "ca_certificate_file": credentials.ca,
            },
        }
    return {
        # Some of these clients refuse a node without a locality, and say nothing that helps.
        "node": {"locality": {}, **bootstrap["node"]},
        "xds_servers": [
            {
                "server_uri": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
                "channel_creds": [channel],
                "server_features": ["xds_v3"],
            }
            for host, port in servers
        ],
    }
