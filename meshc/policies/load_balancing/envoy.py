"""Load balancing in Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.policies.load_balancing.spec import HASHING
from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.compile.interfaces import Edit, Site
    from meshc.compile.resources import Message
    from meshc.policies.load_balancing.spec import LoadBalancingSpec

_ENVOY_NAMES = {
    "roundRobin": "ROUND_ROBIN",
    "leastRequest": "LEAST_REQUEST",
    "random": "RANDOM",
    "ringHash": "RING_HASH",
    "maglev": "MAGLEV",
}


def _cluster(value: LoadBalancingSpec, cluster: Message, _site: Site) -> None:
    if value.policy is None:  # the merged value always has one
        raise AssertionError(value)
    cluster["lb_policy"] = _ENVOY_NAMES[value.policy]
    if value.policy == "leastRequest" and value.choice_count is not None:
        cluster["least_request_lb_config"] = {"choice_count": value.choice_count}
    if value.policy == "ringHash" and value.minimum_ring_size is not None:
        cluster["ring_hash_lb_config"] = {"minimum_ring_size": value.minimum_ring_size}
    if value.policy == "maglev" and value.table_size is not None:
        cluster["maglev_lb_config"] = {"table_size": value.table_size}


def _action(value: LoadBalancingSpec, action: Message, _site: Site) -> None:
    hash_on = value.hash_on
    if value.policy not in HASHING or hash_on is None:
        return
    if hash_on.header is not None:
        policy: Message = {"header": {"header_name": hash_on.header}}
    elif hash_on.cookie is not None:
        policy = {"cookie": {"name": hash_on.cookie}}
    else:
        policy = {"connection_properties": {"source_ip": True}}
    action["hash_policy"] = [policy]


def _proxy(value: LoadBalancingSpec, proxy: Message, _site: Site) -> None:
    if value.policy in HASHING:
        proxy["hash_policy"] = [{"source_ip": {}}]


EDITS: Mapping[Scope, Edit] = {Scope.CLUSTER: _cluster, Scope.ACTION: _action, Scope.PROXY: _proxy}
