"""Outlier detection in Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile.failure_mark import header_is
from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.compile.interfaces import Edit, Site
    from meshc.compile.resources import Message
    from meshc.policies.outlier_detection.spec import OutlierDetectionSpec

# How often it is looked whether a host may come back.
_INTERVAL = "1s"


def _cluster(value: OutlierDetectionSpec, cluster: Message, _site: Site) -> None:
    if not value.enabled or value.ejection_time is None or value.max_ejection_time is None:
        return
    cluster["outlier_detection"] = {
        # Envoy counts what goes wrong before there is an answer as 503 or 504.  Its other way of
        # counting, failures of connections by themselves, forgets them at every request that it
        # begins to send: a host that takes requests and never answers would never be one.
        "consecutive_5xx": value.consecutive_failures,
        "enforcing_consecutive_5xx": 100,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "interval": _INTERVAL,
        "base_ejection_time": value.ejection_time.envoy,
        "max_ejection_time": value.max_ejection_time.envoy,
        "max_ejection_percent": value.max_ejected_percent,
    }


def _upstream(value: OutlierDetectionSpec, options: Message, _site: Site) -> None:
    """Say which answers are failures; every other one is a success, whatever its status."""
    if not value.enabled:
        return
    rules = [_header_rule(header_is(None))]
    if value.status_codes:
        codes = "|".join(str(code) for code in sorted(set(value.status_codes)))
        status = {"name": ":status", "string_match": {"safe_regex": {"regex": codes}}}
        rules.append(_header_rule(status))
    matcher = rules[0] if len(rules) == 1 else {"or_match": {"rules": rules}}
    options["outlier_detection"] = {"error_matcher": matcher}


def _header_rule(header: Message) -> Message:
    return {"http_response_headers_match": {"headers": [header]}}


EDITS: Mapping[Scope, Edit] = {Scope.CLUSTER: _cluster, Scope.UPSTREAM: _upstream}
