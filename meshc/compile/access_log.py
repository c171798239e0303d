"""Access logs: JSON lines, one file for each listener."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.artifact.layout import on_host
from meshc.compile import names

if TYPE_CHECKING:
    from meshc.compile.interfaces import CompileContext
    from meshc.compile.resources import Message
    from meshc.plan.types import ChainPlan

_FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"

_CONNECTION_FIELDS = {
    "time": "%START_TIME%",
    "duration_ms": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "downstream": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "upstream_cluster": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "flags": "%RESPONSE_FLAGS%",
}
_REQUEST_FIELDS = {
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "status_details": "%RESPONSE_CODE_DETAILS%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream_duration_ms": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "authority": "%REQ(:AUTHORITY)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "trace_id": "%TRACE_ID%",
}


def access_log(chain: ChainPlan, context: CompileContext) -> list[Message]:
    """Return the access loggers of a chain: one, or none where the mesh has switched them off."""
    settings = context.settings.access_log
    if not settings.enabled:
        return []
    fields = {**_CONNECTION_FIELDS, **(_REQUEST_FIELDS if chain.has_routes else {})}
    return [
        {
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": _FILE,
                "path": on_host(settings.directory, names.access_log_file(chain)),
                "log_format": {"json_format": fields},
            },
        }
    ]
