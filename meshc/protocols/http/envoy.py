"""HTTP/1.1 in Envoy: the connection manager as it is, and the upstream's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile.http import connection_manager, http1_upstream

if TYPE_CHECKING:
    from meshc.compile.interfaces import CompileContext
    from meshc.compile.resources import Message
    from meshc.model.mesh import ServiceName
    from meshc.plan.types import ChainPlan, ClusterPlan


class HttpCompiler:
    """Compiles chains and clusters of services that speak HTTP/1.1."""

    def network_filters(
        self, chain: ChainPlan, context: CompileContext, *, own_service: ServiceName
    ) -> list[Message]:
        """Return the connection manager."""
        return [connection_manager(chain, context, own_service=own_service)]

    def cluster_options(self, cluster: ClusterPlan) -> Message:
        """Return the upstream's protocol."""
        return http1_upstream(cluster)
