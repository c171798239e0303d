"""Listeners: an address, and the chain that treats its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile import names
from meshc.compile.endpoint import keepalive_socket_options, socket_address
from meshc.compile.resources import LISTENER, Message, Resource
from meshc.plan.types import Direction

if TYPE_CHECKING:
    from meshc.plan.types import ListenerPlan


def listener_resource(plan: ListenerPlan, network_filters: list[Message]) -> Resource:
    """Return the `Listener` of a plan around the filters of its chain."""
    name = names.listener_name(plan)
    message: Message = {
        "name": name,
        "address": socket_address(*plan.bind),
        "traffic_direction": plan.direction.name,
        "filter_chains": [{"filters": network_filters}],
    }
    if plan.direction is Direction.INBOUND:
        # Callers come over the network and can vanish; local ones cannot.
        message["socket_options"] = keepalive_socket_options()
    return Resource.of(LISTENER, name, message, plan.origin)
