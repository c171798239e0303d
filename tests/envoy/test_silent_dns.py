"""Names that nobody looks up must not keep an Envoy from serving what needs no names."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

import pytest

from meshc.artifact.store import DirectoryStore
from meshc.delivery.materialize import materialize
from tests.case import built
from tests.envoy.running import alone_on_this_machine, running_envoy

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy

SPECS = {
    "mesh.yaml": """
xdsDirectory: .
accessLog: {directory: .}
admin: {host: ingress, port: 9901}
tracing:
  COLLECTOR: {host: collector.example.com}
""",
    "api.yaml": """
protocol: HTTP
hosts:
- name: api
  externalAddr: {host: api.example.com, port: 80}
""",
    "shop.yaml": """
protocol: HTTP
hosts:
- name: shop1
  ingressAddr: {host: 127.40.15.11, port: 18000}
  substanceAddr: {host: 127.0.0.1, port: 9000}
  egressHost: 127.40.15.11
dependentServices: CALLS
""",
}


def ask_nobody(clusters: Path, address: str, port: int) -> None:
    """Make clusters ask a resolver that takes questions and never answers."""
    file = json.loads(clusters.read_text())
    for cluster in file["resources"]:
        if "cluster_type" in cluster:
            discovery = cluster["cluster_type"]["typed_config"]
            resolver = discovery["typed_dns_resolver_config"]["typed_config"]
            resolver["resolvers"] = [{"socket_address": {"address": address, "port_value": port}}]
    clusters.write_text(json.dumps(file))


@pytest.mark.parametrize(
    ("collector", "calls", "longest_s"),
    [
        ("zipkin", "[]", 2),
        ("openTelemetry", "[]", 2),
        ("openTelemetry", "[{name: api, egressPort: 18101}]", 12),
    ],
    ids=["zipkin", "opentelemetry", "called service"],
)
def test_an_envoy_serves_soon_where_dns_does_not_answer(
    collector: str, calls: str, longest_s: int, tmp_path: Path, envoy_binary: Path
) -> None:
    (tmp_path / "specs").mkdir()
    for name, text in SPECS.items():
        filled = text.replace("COLLECTOR", collector).replace("CALLS", calls)
        (tmp_path / "specs" / name).write_text(filled)
    built(tmp_path / "specs", tmp_path / "out")
    home = tmp_path / "home"
    materialize(DirectoryStore(tmp_path / "out").node("shop1"), home)

    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
        alone_on_this_machine("silent-dns"),
    ):
        silent.bind(("127.0.0.1", 0))
        ask_nobody(home / "cds.json", *silent.getsockname())
        started = time.monotonic()
        with running_envoy(envoy_binary, home, "./bootstrap.json") as envoy:
            waited = time.monotonic() - started
            listeners = envoy.get("/listeners")
            stats = envoy.stats()
        asked = silent.recv(512)

    assert b".example.com" in asked.replace(b"\x07example\x03com", b".example.com")
    assert waited < longest_s
    assert "inbound/shop::127.40.15.11:18000\n" in listeners
    assert stats["listener_manager.lds.update_success"] == 1
    assert stats["listener_manager.lds.update_rejected"] == 0
