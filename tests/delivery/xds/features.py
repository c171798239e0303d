"""A mesh that has everything which meshc can put into the files of one node, `front1`."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

import grpc

from tests.delivery.live import free_ports, get
from tests.delivery.xds.live import HOST
from tests.delivery.xds.meshes import make_bundle

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = ("admin", "ingress", "second", "own", "web", "ring", "cookie", "address", "bytes", "store")
_MORE = ("rpc", "rates", "named", "healthy", "legacy", "added")
_TRACING = {
    "zipkin": "zipkin: {{host: {host}, port: {port}}}",
    "opentelemetry": "openTelemetry: {{host: {host}, port: {port}}}",
}
_FRONT = """
protocol: HTTP
labels: {{team: edge}}
hosts:
- name: front1
  ingressAddr: {{host: {host}, port: {ingress}}}
  substanceAddr: {{host: {own_host}, port: {own_port}}}
  egressHost: {host}
  labels: {{rack: r1}}
  locality: {{region: eu, zone: a}}
dependentServices:
- name: web
  egressPort: {web}
  timeouts: {{connect: {connect}, request: {request}, idle: 30s}}
  retries:
    attempts: 3
    on: [5xx, reset, connect-failure]
    statusCodes: [429]
    perTryTimeout: 2s
    backoff: 50ms
  circuitBreakers: {{maxConnections: 99, maxPendingRequests: 98, maxRequests: 97, maxRetries: 4}}
  loadBalancing: {{policy: leastRequest, choiceCount: 3}}
- {{name: ring, egressPort: {ring}}}
- {{name: address, egressPort: {address}}}
- {{name: bytes, egressPort: {bytes}, timeouts: {{idle: 0s}}}}
- {{name: store, egressPort: {store}}}
- {{name: rpc, egressPort: {rpc}, retries: {{attempts: 1, on: [unavailable, cancelled]}}}}
- {{name: rates, egressPort: {rates}}}
- {{name: named, egressPort: {named}}}
- {{name: healthy, egressPort: {healthy}, health: {{from: consul, panicThreshold: 60}}}}
- {{name: legacy, egressPort: {legacy}, from: consul, protocol: TCP, tags: [primary]}}
"""
_REMOVED = "- {{name: cookie, egressPort: {cookie}}}\n"
_ADDED = "- {{name: added, egressPort: {added}, timeouts: {{idle: 20s}}}}\n"
_SECOND = """
protocol: HTTP2
hosts:
- name: front1
  ingressAddr: {{host: {host}, port: {second}}}
  substanceAddr: {{host: {own_host}, port: {own_port}}}
"""
_MESH = """
name: everything
labels: {{stage: test}}
xdsDirectory: "."
accessLog: {{directory: "."}}
admin: {{host: {host}, port: {admin}}}
connectTimeout: 2s
drainTime: 1s
tracing: {{{tracing}, sampling: 50}}
defaults: {{timeouts: {{idle: 4m}}, circuitBreakers: {{maxConnections: 500}}}}
"""
_KINDS = {
    "web": "HTTP\nretries: {attempts: 1}",
    "ring": "HTTP\nloadBalancing: "
    "{policy: ringHash, hashOn: {header: x-user}, minimumRingSize: 2048}",
    "cookie": "HTTP\nloadBalancing: {policy: maglev, hashOn: {cookie: session}, tableSize: 1021}",
    "address": "HTTP\nloadBalancing: {policy: ringHash, hashOn: {sourceIp: true}}",
    "bytes": "TCP\nloadBalancing: {policy: maglev, hashOn: {sourceIp: true}}",
    "store": "TCP\ntimeouts: {idle: 8h}\nloadBalancing: {policy: random}",
    "rpc": "GRPC",
    "rates": "HTTP2",
    "named": "HTTP",
    "added": "HTTP",
}
_ALWAYS = ("web", "ring", "address", "bytes", "store", "named", "healthy")
BEFORE, AFTER = (*_ALWAYS, "cookie"), (*_ALWAYS, "added")
"""What one can call with plain HTTP/1.1 before and after the change: names of dependencies."""
_CALLED = (*_ALWAYS, "cookie", "added", "ingress")


class Features:
    """The mesh, with a server of the test behind each of its services."""

    def __init__(self, folder: Path, *, tracing: str, own: tuple[str, int], rpc: int) -> None:
        self._folder, self._tracing, self._own, self._rpc = folder, tracing, own, rpc
        names = (*_NAMES, *_MORE)
        self.ports = dict(zip(names, free_ports(HOST, len(names)), strict=True))
        self.admin = (HOST, self.ports["admin"])

    def build(self, name: str, behind: tuple[str, int], *, is_changed: bool = False) -> Path:
        """Compile; `behind` is the server that answers for all but gRPC.

        Where it is changed, a route and a cluster are others, and a dependency is there instead
        of another one.
        """
        host, port = behind
        tracing = _TRACING[self._tracing].format(host=host, port=port)
        places: dict[str, Any] = {
            **self.ports,
            "host": HOST,
            "own_host": self._own[0],
            "own_port": self._own[1],
            "tracing": tracing,
            "connect": "800ms" if is_changed else "700ms",
            "request": "8s" if is_changed else "9s",
        }
        front = _FRONT + (_ADDED if is_changed else _REMOVED)
        documents = {
            "mesh": _MESH.format(**places),
            "front": front.format(**places),
            "second": _SECOND.format(**places),
        }
        for service, kind in _KINDS.items():
            address = {"named": "localhost", "rpc": "127.0.0.1"}.get(service, host)
            target = self._rpc if service == "rpc" else port
            documents[service] = (
                f"protocol: {kind}\nhosts:\n"
                f"- {{name: {service}1, weight: 2, externalAddr: {{host: {address}, "
                f"port: {target}}}}}\n"
            )
        # Only hosts with an Envoy have health; the test's server stands where that would be.
        documents["healthy"] = (
            "protocol: HTTP\nhosts:\n"
            f"- {{name: healthy1, ingressAddr: {{host: {host}, port: {port}}}, "
            f"substanceAddr: {{host: {host}, port: 1}}}}\n"
        )
        return make_bundle(self._folder / name, documents)

    def answers(self) -> dict[str, str]:
        """What each dependency answers, and the node's own application; empty where none does."""
        return {name: _answer((HOST, self.ports[name])) for name in _CALLED} | {
            "rpc": self._called()
        }

    def _called(self) -> str:
        with grpc.insecure_channel(f"{HOST}:{self.ports['rpc']}") as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Who/Ask")
            try:
                return call(b"", timeout=5).decode()
            except grpc.RpcError:
                return ""


def _answer(address: tuple[str, int]) -> str:
    try:
        return get(address)
    except (OSError, http.client.HTTPException):
        return ""
