"""What all protocols with requests share: the connection manager and the upstream options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile import names
from meshc.compile.access_log import access_log
from meshc.compile.failure_mark import local_reply_marks
from meshc.compile.interfaces import Site
from meshc.compile.route import routes_source
from meshc.compile.tracing import hcm_tracing
from meshc.plan.types import Direction
from meshc.spec.slices import Capability, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshc.compile.interfaces import CompileContext
    from meshc.compile.resources import Message
    from meshc.model.mesh import ServiceName
    from meshc.plan.types import ChainPlan, ClusterPlan

_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# Accepted connections are closed after an hour of silence, as Envoy does unasked.
_IDLE_ACCEPTED = "3600s"
# Connections to other hosts are given up well before an Envoy there would close them, so that no
# request is sent into a connection that is just being closed.
_IDLE_TO_OTHERS = "1800s"
# A request header that takes longer is an attack or a broken client.
_REQUEST_HEADERS_TIMEOUT = "60s"
# Between Envoys everything goes over few connections of HTTP/2, whatever the application speaks:
# a peer that hangs or has vanished is found by pings and not by requests that wait for it, and one
# that stops says so before it does.  Found within 1.5 to 2.1 s, twice in a row within 5.
_PING = {"interval": "0.5s", "timeout": "1.5s"}
# One stream may have as much on its way as a connection of HTTP/1.1 has in Envoy's buffers, and
# some that nobody reads leave room for all the others.
_WINDOWS = {
    "initial_stream_window_size": 1 << 20,
    "initial_connection_window_size": 1 << 30,
}
# What applications may answer over HTTP/1.1 passes here too, where Envoy would take 60 KiB.
_RESPONSE_HEADERS_KIB = 96


def connection_manager(
    chain: ChainPlan,
    context: CompileContext,
    *,
    own_service: ServiceName,
    filters: Sequence[Message] = (),
) -> Message:
    """Return the HTTP connection manager of a chain as a network filter.

    ``filters`` come before the router, which must be last; spans are those of ``own_service``.
    """
    router: Message = {"@type": _ROUTER}
    if chain.leads_to_foreigners:
        router["suppress_envoy_headers"] = True
    manager: Message = {
        "@type": _MANAGER,
        "stat_prefix": names.chain_name(chain),
        "codec_type": "AUTO",  # HTTP/1.1 and HTTP/2 with prior knowledge, told apart by the bytes
        **routes_source(chain, context),
        "http_filters": [
            *filters,
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
        "common_http_protocol_options": {"idle_timeout": _IDLE_ACCEPTED},
        "http_protocol_options": {
            # nginx's proxies and old load generators, some of which name no host.
            "accept_http_10": True,
            "default_host_for_http_10": chain.service,
            # Java's Apache HttpClient offers it with every plain request; Envoy would answer 403.
            "ignore_http_11_upgrade": [{"prefix": "TLS/", "ignore_case": True}],
        },
        "http2_protocol_options": {**_WINDOWS},
        "request_headers_timeout": _REQUEST_HEADERS_TIMEOUT,
        # Silence within a request is limited by the caller's route; here it would be a second,
        # hidden clock of five minutes.
        "stream_idle_timeout": "0s",
        "generate_request_id": True,
        # A sidecar is in the middle: it keeps what the caller sent and shows what the
        # application answered.
        "preserve_external_request_id": True,
        "server_header_transformation": "PASS_THROUGH",
    }
    if Capability.UPGRADES in context.protocols[chain.protocol].spec.provides:
        manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
        manager["http2_protocol_options"]["allow_connect"] = True  # WebSockets over HTTP/2
    if chain.direction is Direction.INBOUND:
        manager["local_reply_config"] = local_reply_marks()
    logs = access_log(chain, context)
    if logs:
        manager["access_log"] = logs
    tracing = hcm_tracing(context, own_service)
    if tracing is not None:
        manager["tracing"] = tracing
    context.apply(Scope.MANAGER, chain.bindings, manager, Site.of_chain(chain))
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def http1_upstream(cluster: ClusterPlan) -> Message:
    """Return cluster fields for applications and foreign hosts that speak HTTP/1.1."""
    if cluster.leads_to_envoys:
        return _between_envoys(allow_connect=True)  # WebSockets
    return _upstream({"http_protocol_options": {}}, _common(cluster))


def http2_upstream(cluster: ClusterPlan) -> Message:
    """Return cluster fields for applications and foreign hosts that speak HTTP/2.

    They get no pings: gRPC's servers end a connection with ``too_many_pings`` after the third
    within five minutes of silence, with all calls on it.
    """
    if cluster.leads_to_envoys:
        return _between_envoys()
    return _upstream({"http2_protocol_options": {}}, _common(cluster))


def _between_envoys(**more: bool) -> Message:
    http2 = {"connection_keepalive": _PING, **_WINDOWS, **more}
    common = {"idle_timeout": _IDLE_TO_OTHERS, "max_response_headers_kb": _RESPONSE_HEADERS_KIB}
    return _upstream({"http2_protocol_options": http2}, common)


def _common(cluster: ClusterPlan) -> Message:
    """Return what holds for every version of HTTP; a policy says it for the own application."""
    return {} if cluster.local is not None else {"idle_timeout": _IDLE_TO_OTHERS}


def _upstream(explicit: Message, common: Message) -> Message:
    return {
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
                "explicit_http_config": explicit,
                "common_http_protocol_options": common,
            }
        }
    }
