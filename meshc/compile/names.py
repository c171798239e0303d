"""Every resource name and stat prefix, built from identity and nothing else.

The parts are names without ``/``, ``@`` and ``.``, so different inputs give different names, and
Envoy's metrics, which split names at dots, show them whole:
``envoy_cluster_upstream_rq_total{envoy_cluster_name="outbound/app"}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshc.plan.types import ChainPlan, ClusterPlan, EndpointsPlan, ListenerPlan


def _name(direction: str, service: str, consumer: str | None) -> str:
    return f"{direction}/{service}" if consumer is None else f"{direction}/{service}@{consumer}"


def listener_name(listener: ListenerPlan) -> str:
    """``inbound/app``, or ``outbound/app@front`` for the calls of front to app."""
    return _name(listener.direction.value, listener.service, listener.consumer)


def cluster_name(cluster: ClusterPlan) -> str:
    """``inbound/app``, ``outbound/app``, or ``outbound/app@front`` where front has its own."""
    return _name(cluster.direction.value, cluster.service, cluster.consumer)


def chain_name(chain: ChainPlan) -> str:
    """Stat prefix of a chain and name of its route configuration."""
    return _name(chain.direction.value, chain.service, chain.consumer)


def access_log_file(chain: ChainPlan) -> str:
    """File name of a chain's access log: ``inbound-app.log``, ``outbound-app@front.log``."""
    return chain_name(chain).replace("/", "-", 1) + ".log"


def endpoints_name(endpoints: EndpointsPlan) -> str:
    """Name under which callers ask for endpoints: ``app``, or ``app@front`` for front alone."""
    if endpoints.consumer is None:
        return endpoints.service
    return f"{endpoints.service}@{endpoints.consumer}"


def tracing_cluster_name(collector: str) -> str:
    """Cluster of the span collector; its first part keeps it apart from services."""
    return f"tracing/{collector}"
