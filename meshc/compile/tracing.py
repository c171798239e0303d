"""Spans: the collector's cluster, and the tracing part of a connection manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile import names
from meshc.compile.endpoint import dns_discovery, endpoint, is_ip, tcp_keepalive
from meshc.compile.resources import CLUSTER, Message, Resource

if TYPE_CHECKING:
    from meshc.compile.interfaces import CompileContext
    from meshc.model.mesh import ServiceName
    from meshc.spec.fields import HostPort
    from meshc.spec.origin import Origin
    from meshc.spec.schema import TracingSpec

_ZIPKIN = "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig"
_OPEN_TELEMETRY = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_EXPORT_TIMEOUT = "1s"


def has_own_spans(context: CompileContext) -> bool:
    """Whether the tracing part differs between callers, so that their filters do too."""
    tracing = context.settings.tracing
    return tracing is not None and tracing.open_telemetry is not None


def hcm_tracing(context: CompileContext, own_service: ServiceName) -> Message | None:
    """Return the tracing part of a connection manager, None where the mesh traces nothing."""
    tracing = context.settings.tracing
    if tracing is None:
        return None
    return {
        "provider": _provider(tracing, own_service),
        # Only new traces are sampled; a decision made by the caller is always followed.
        "random_sampling": {"value": float(tracing.sampling)},
    }


def _provider(tracing: TracingSpec, own_service: ServiceName) -> Message:
    if tracing.zipkin is not None:
        return {
            "name": "envoy.tracers.zipkin",
            "typed_config": {
                "@type": _ZIPKIN,
                "collector_cluster": names.tracing_cluster_name("zipkin"),
                "collector_endpoint": tracing.zipkin.path,
                # Required: Envoy refuses the default of this field.
                "collector_endpoint_version": "HTTP_JSON",
                "collector_hostname": tracing.zipkin.host,
                "shared_span_context": False,  # one span for each side of a hop
            },
        }
    return {
        "name": "envoy.tracers.opentelemetry",
        "typed_config": {
            "@type": _OPEN_TELEMETRY,
            "grpc_service": {
                "envoy_grpc": {"cluster_name": names.tracing_cluster_name("opentelemetry")},
                "timeout": _EXPORT_TIMEOUT,
            },
            # Zipkin takes the cluster of Envoy's node; here it would be "unknown_service:envoy".
            "service_name": own_service,
        },
    }


def tracing_cluster(context: CompileContext, origin: Origin) -> Resource | None:
    """Return the collector's cluster; it comes by CDS, so moving it needs no restart."""
    tracing = context.settings.tracing
    if tracing is None:
        return None
    if tracing.zipkin is not None:
        return _collector("zipkin", tracing.zipkin, {}, context, origin)
    if tracing.open_telemetry is None:  # refused by the schema
        raise AssertionError(tracing)
    http2 = {
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    }
    return _collector("opentelemetry", tracing.open_telemetry, http2, context, origin)


def _collector(
    kind: str, address: HostPort, options: Message, context: CompileContext, origin: Origin
) -> Resource:
    name = names.tracing_cluster_name(kind)
    message: Message = {
        "name": name,
        **({"type": "STATIC"} if is_ip(address.host) else _by_name()),
        "connect_timeout": context.settings.connect_timeout.envoy,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint(address.host, address.port)]}],
        },
        "upstream_connection_options": tcp_keepalive(),
        **options,
    }
    return Resource.of(CLUSTER, name, message, origin)


def _by_name() -> Message:
    """Return the type of a collector that is looked up, which traffic never waits for.

    Clusters of services do wait: when one changes, the old one serves until the new one knows its
    hosts.
    """
    return {**dns_discovery(), "wait_for_warm_on_init": False}
