"""Active health checks in Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.compile.http import HTTP_OPTIONS
from meshc.spec.slices import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.compile.interfaces import Edit, Site
    from meshc.compile.resources import Message
    from meshc.policies.health_checks.spec import HealthChecksSpec, HttpCheckSpec, TcpCheckSpec


def _cluster(value: HealthChecksSpec, cluster: Message, site: Site) -> None:
    if value.http is not None:
        check: Message = {"http_health_check": _http(value.http, cluster, site)}
    elif value.grpc is not None:
        check = {"grpc_health_check": _without_nothing(service_name=value.grpc.service)}
    elif value.tcp is not None:
        check = {"tcp_health_check": _tcp(value.tcp)}
    else:
        return
    if value.interval is None or value.timeout is None:  # the merged value has both
        raise AssertionError(value)
    check |= {
        "interval": value.interval.envoy,
        # Unstated, a service that nobody calls just now is asked once a minute, and the first
        # requests after the pause find out what the checks should have.
        "no_traffic_interval": value.interval.envoy,
        "timeout": value.timeout.envoy,
        "unhealthy_threshold": value.unhealthy_after,
        "healthy_threshold": value.healthy_after,
    }
    cluster["health_checks"] = [check]
    # Unstated, a host that is taken out keeps its share until a check fails.
    cluster["ignore_health_on_host_removal"] = True


def _http(value: HttpCheckSpec, cluster: Message, site: Site) -> Message:
    options = cluster["typed_extension_protocol_options"][HTTP_OPTIONS]["explicit_http_config"]
    return {
        "path": value.path,
        "host": value.host or site.service,
        "expected_statuses": [
            {"start": status, "end": status + 1} for status in sorted(set(value.statuses))
        ]
        if value.statuses
        else [{"start": 200, "end": 300}],
        "codec_client_type": "HTTP2" if "http2_protocol_options" in options else "HTTP1",
    }


def _tcp(value: TcpCheckSpec) -> Message:
    message: Message = {}
    if value.send is not None:
        message["send"] = {"text": value.send.encode().hex()}
    if value.receive is not None:
        message["receive"] = [{"text": value.receive.encode().hex()}]
    return message


def _without_nothing(**fields: str) -> Message:
    return {name: value for name, value in fields.items() if value}


EDITS: Mapping[Scope, Edit] = {Scope.CLUSTER: _cluster}
