"""Retries in Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile.cluster import NO_LIMIT
from meshc.compile.failure_mark import UNREACHED, header_is
from meshc.spec.fields import Duration
from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from meshc.compile.interfaces import Edit, Site
    from meshc.compile.resources import Message
    from meshc.policies.retries.spec import RetriesSpec

_PREVIOUS_HOSTS = (
    "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
)
# How often another host is drawn before a retry goes to one that was tried already.  A host of
# weight 128 beside one of weight 1 is drawn 128 times in a row.
_HOST_ATTEMPTS = 130
_BACKOFF_CEILING = 10
# Below that a budget refuses retries of a service that has next to no traffic.
_RETRIES_AT_LEAST = 3


def _action(value: RetriesSpec, action: Message, site: Site) -> None:
    if value.attempts:
        action["retry_policy"] = _policy(value, value.on or (), site)


def _idempotent_action(value: RetriesSpec, action: Message, site: Site) -> None:
    if value.attempts:
        conditions = (*(value.on or ()), *(value.on_idempotent or ()))
        action["retry_policy"] = _policy(value, conditions, site)


def _policy(value: RetriesSpec, conditions: Iterable[str], site: Site) -> Message:
    policy: Message = {
        "num_retries": value.attempts,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": _PREVIOUS_HOSTS},
            }
        ],
        "host_selection_retry_max_attempts": _HOST_ATTEMPTS,
    }
    retry_on = dict.fromkeys(conditions)
    if site.leads_to_envoys and (mark := _mark_for(retry_on)) is not None:
        policy["retriable_headers"] = [mark]
        retry_on["retriable-headers"] = None
    if value.status_codes:
        policy["retriable_status_codes"] = sorted(set(value.status_codes))
        retry_on["retriable-status-codes"] = None
    policy["retry_on"] = ",".join(retry_on)
    if value.per_try_timeout is not None:
        policy["per_try_timeout"] = value.per_try_timeout.envoy
    if value.backoff is not None:
        policy["retry_back_off"] = _pauses(value.backoff)
    return policy


def _pauses(first: Duration) -> Message:
    longest = Duration(first.milliseconds * _BACKOFF_CEILING)
    return {"base_interval": first.envoy, "max_interval": longest.envoy}


def _route(value: RetriesSpec, route: Message, _site: Site) -> None:
    # Unstated it is what a connection may have in its buffers, 1 MiB: a longer body is answered
    # 507 while its first try has failed and it waits for the next.
    if value.body_buffer is not None:
        route["request_body_buffer_limit"] = value.body_buffer.count


def _mark_for(conditions: Container[str]) -> Message | None:
    """Return which marked answers are retried: the same failures, one step further.

    The Envoy of the called host is there then, and its application is not, or has just ended.
    """
    if "reset" in conditions:
        return header_is(None)
    return header_is(UNREACHED) if "connect-failure" in conditions else None


def _proxy(value: RetriesSpec, proxy: Message, _site: Site) -> None:
    # No byte has been passed on before a connection is there.
    if value.attempts:
        proxy["max_connect_attempts"] = 1 + value.attempts
        if value.backoff is not None:
            proxy["backoff_options"] = _pauses(value.backoff)


def _cluster(value: RetriesSpec, cluster: Message, _site: Site) -> None:
    if value.budget is None:  # no requests that could be retried one by one
        return
    # One of both is always written: unstated, Envoy refuses the fourth retry under way.
    if value.budget == "none":
        limit: Message = {"max_retries": NO_LIMIT}
    else:
        limit = {
            "retry_budget": {
                "budget_percent": {"value": float(value.budget)},
                "min_retry_concurrency": _RETRIES_AT_LEAST,
            }
        }
    cluster["circuit_breakers"] = {"thresholds": [limit]}


EDITS: Mapping[Scope, Edit] = {
    Scope.ROUTE: _route,
    Scope.ACTION: _action,
    Scope.IDEMPOTENT_ACTION: _idempotent_action,
    Scope.PROXY: _proxy,
    Scope.CLUSTER: _cluster,
}
