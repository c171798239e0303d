"""Settings that the matrix rests on, taken back one by one in what an Envoy starts with.

Each of them harms one service of the fleet, so that one run can try several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.campaigns.outages.fleet import Edit

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_OFTEN = {"interval": "0.5s", "timeout": "1.5s"}


def all_of(*edits: Edit) -> Edit:
    """Make several changes as one."""

    def edit(resource: dict[str, Any]) -> None:
        for one in edits:
            one(resource)

    return edit


def budget_back(service: str) -> Edit:
    """Few retries at a time, whatever they are for."""

    def edit(cluster: dict[str, Any]) -> None:
        for limits in cluster["circuit_breakers"]["thresholds"]:
            del limits["max_retries"]
            limits["retry_budget"] = {
                "budget_percent": {"value": 20},
                "min_retry_concurrency": 3,
            }

    return _on_cluster(f"outbound/{service}", edit)


def mark_off(service: str) -> Edit:
    """No look at what a called host says about its application."""

    def edit(policy: dict[str, Any]) -> None:
        del policy["retriable_headers"]

    return _on_retries(service, edit)


def one_attempt(service: str) -> Edit:
    """One more host is tried, and no other."""

    def edit(policy: dict[str, Any]) -> None:
        policy["num_retries"] = 1

    return _on_retries(service, edit)


def outlier_off(service: str) -> Edit:
    """Nobody leaves a host alone that fails."""
    return _on_cluster(f"outbound/{service}", lambda cluster: cluster.pop("outlier_detection"))


def pings_off(service: str) -> Edit:
    """No pings between Envoys."""

    def edit(cluster: dict[str, Any]) -> None:
        del _http2_of(cluster)["connection_keepalive"]

    return _on_cluster(f"outbound/{service}", edit)


def pings_on(service: str) -> Edit:
    """Pings toward the application."""

    def edit(cluster: dict[str, Any]) -> None:
        _http2_of(cluster)["connection_keepalive"] = _OFTEN

    return _on_cluster(f"inbound/{service}", edit)


def _on_cluster(name: str, change: Callable[[dict[str, Any]], object]) -> Edit:
    def edit(resource: dict[str, Any]) -> None:
        if resource.get("name") == name and resource["@type"].endswith(".Cluster"):
            change(resource)

    return edit


def _on_retries(service: str, change: Callable[[dict[str, Any]], object]) -> Edit:
    def edit(resource: dict[str, Any]) -> None:
        if resource.get("name") == f"outbound/{service}":
            for policy in _named("retry_policy", resource):
                change(policy)

    return edit


def _named(name: str, value: Any) -> Iterator[dict[str, Any]]:
    """Find all messages in a field of this name."""
    if isinstance(value, list):
        for one in value:
            yield from _named(name, one)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from _named(name, inner)


def _http2_of(cluster: dict[str, Any]) -> dict[str, Any]:
    options = cluster["typed_extension_protocol_options"][_OPTIONS]
    found: dict[str, Any] = options["explicit_http_config"]["http2_protocol_options"]
    return found
