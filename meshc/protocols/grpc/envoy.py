"""gRPC in Envoy: HTTP/2 with a filter that counts calls by their gRPC status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile.http import connection_manager, http2_upstream

if TYPE_CHECKING:
    from meshc.compile.interfaces import CompileContext
    from meshc.compile.resources import Message
    from meshc.model.mesh import ServiceName
    from meshc.plan.types import ChainPlan, ClusterPlan

_STATS = "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"


class GrpcCompiler:
    """Compiles chains and clusters of services that speak gRPC."""

    def network_filters(
        self, chain: ChainPlan, context: CompileContext, *, own_service: ServiceName
    ) -> list[Message]:
        """Return the connection manager with gRPC's own metrics.

        Methods are not counted one by one: their names come from callers, and an attacker could
        make any number of metrics.
        """
        stats = {
            "name": "envoy.filters.http.grpc_stats",
            "typed_config": {
                "@type": _STATS,
                "emit_filter_state": True,
                "stats_for_all_methods": False,
                "enable_upstream_stats": True,
            },
        }
        return [connection_manager(chain, context, own_service=own_service, filters=[stats])]

    def cluster_options(self, cluster: ClusterPlan) -> Message:
        """Return the upstream's protocol."""
        return http2_upstream(cluster)
