"""Plain TCP in Envoy: the proxy that passes bytes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile import names
from meshc.compile.access_log import access_log
from meshc.compile.interfaces import Site
from meshc.plan.types import Direction
from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from meshc.compile.interfaces import CompileContext
    from meshc.compile.resources import Message
    from meshc.model.mesh import ServiceName
    from meshc.plan.types import ChainPlan, ClusterPlan

_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


class TcpCompiler:
    """Compiles chains and clusters of services that speak anything over TCP."""

    def network_filters(
        self,
        chain: ChainPlan,
        context: CompileContext,
        *,
        own_service: ServiceName,  # noqa: ARG002, the seam's shape
    ) -> list[Message]:
        """Return the TCP proxy."""
        proxy: Message = {
            "@type": _PROXY,
            "stat_prefix": names.chain_name(chain),
            "cluster": names.cluster_name(chain.cluster),
        }
        if chain.direction is Direction.INBOUND:
            proxy["idle_timeout"] = "0s"  # the caller's Envoy closes idle connections
        logs = access_log(chain, context)
        if logs:
            proxy["access_log"] = logs
        context.apply(Scope.PROXY, chain.bindings, proxy, Site.of_chain(chain))
        return [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]

    def cluster_options(self, cluster: ClusterPlan) -> Message:  # noqa: ARG002, the seam's shape
        """Return nothing: bytes need no options."""
        return {}
