"""Mesh and Node → NodePlan: the listeners and clusters of one Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.plan.types import Direction, ListenerPlan, NodePlan

if TYPE_CHECKING:
    from meshc.model.mesh import Instance, Node
    from meshc.plan.service import SharedPlans


def plan_node(node: Node, shared: SharedPlans) -> NodePlan:
    """List a node's listeners and clusters, each once, in the order of services and names."""
    listeners = [_inbound(instance, shared) for instance in node.instances]
    for instance in node.instances:
        listeners += shared.outbound_listeners(instance.service, instance.egress_host)
    shape = shared.shape(tuple([listener.chain for listener in listeners]))
    return NodePlan(node=node, listeners=tuple(listeners), shape=shape)


def _inbound(instance: Instance, shared: SharedPlans) -> ListenerPlan:
    return ListenerPlan(
        direction=Direction.INBOUND,
        service=instance.service,
        consumer=None,
        bind=instance.ingress,
        chain=shared.inbound(instance),
        origin=instance.origin,
    )
