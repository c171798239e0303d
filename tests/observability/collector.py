"""A small OpenTelemetry collector: takes OTLP over gRPC and keeps what it is told."""

from __future__ import annotations

import base64
import contextlib
import threading
from concurrent import futures
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from meshc.proto import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_REQUEST = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"


@dataclass(frozen=True, slots=True)
class Span:
    """A span with the service that its resource names."""

    service: str
    facts: dict[str, Any]
    attributes: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.facts["kind"]).removeprefix("SPAN_KIND_")

    @property
    def id(self) -> str:
        return _hex(self.facts["span_id"])

    @property
    def parent(self) -> str:
        return _hex(self.facts.get("parent_span_id", ""))


@dataclass(slots=True)
class Collector:
    """Everything that was exported, in the order of its start."""

    host: str
    port: int = 0
    _spans: list[Span] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, exported: dict[str, Any]) -> None:
        with self._lock:
            for part in exported["resource_spans"]:
                resource = _attributes(part["resource"])
                for scope in part["scope_spans"]:
                    self._spans += [
                        Span(resource["service.name"], span, _attributes(span))
                        for span in scope["spans"]
                    ]

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace, given in hex, the earliest first."""
        with self._lock:
            spans = [span for span in self._spans if _hex(span.facts["trace_id"]) == trace_id]
        return sorted(spans, key=lambda span: int(span.facts["start_time_unix_nano"]))


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    """Read a list of keys and values; numbers come as texts, as in all JSON of protobuf."""
    pairs = holder.get("attributes", [])
    return {pair["key"]: next(iter(pair["value"].values()), None) for pair in pairs}


def _hex(value: str) -> str:
    return base64.b64decode(value).hex()


@contextlib.contextmanager
def running_collector(host: str) -> Iterator[Collector]:
    """Run a collector on a free port of an address; what it cannot read fails the export."""
    collector = Collector(host)
    schema = load_schema("1.40.0")  # Envoy sends OTLP, so its own descriptors have it

    def export(request: bytes, _context: grpc.ServicerContext) -> bytes:
        collector.take(schema.from_wire(_REQUEST, request))
        return b""  # an ExportTraceServiceResponse that refuses nothing

    # Neither reads nor writes protobuf by itself: both are bytes.
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(export)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler})]
    )
    collector.port = server.add_insecure_port(f"{host}:0")
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
