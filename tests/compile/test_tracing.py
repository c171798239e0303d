"""Spans: where they go, under whose name, and what a collector that is away must not do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.case import CASES

if TYPE_CHECKING:
    from collections.abc import Iterator


def resources(case: str, node: str, file: str) -> dict[str, dict[str, Any]]:
    text = (CASES / case / "out" / "nodes" / node / file).read_text()
    return {resource["name"]: resource for resource in json.loads(text)["resources"]}


def tracers(case: str, node: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tracer of each HTTP listener of a node, by the listener's name."""
    for name, listener in resources(case, node, "lds.json").items():
        filters = listener["filter_chains"][0]["filters"]
        tracing = filters[-1]["typed_config"].get("tracing")
        if tracing is not None:
            yield name, tracing["provider"]["typed_config"]


def test_every_http_listener_sends_spans_and_tcp_ones_send_none() -> None:
    assert [name for name, _ in tracers("tracing-zipkin", "front1")] == [
        "inbound/front",
        "outbound/app@front",
    ]
    assert [name for name, _ in tracers("tracing-zipkin", "myapp1")] == ["inbound/app"]


def test_a_node_without_requests_has_no_collector() -> None:
    assert list(resources("tracing-zipkin", "db1", "cds.json")) == ["inbound/db"]


def test_a_collector_that_is_looked_up_never_keeps_an_envoy_from_starting() -> None:
    collector = resources("tracing-opentelemetry", "front1", "cds.json")["tracing/opentelemetry"]

    assert collector["wait_for_warm_on_init"] is False


def test_a_service_that_is_looked_up_is_waited_for_but_not_long() -> None:
    cluster = resources("external-dns", "shop1", "cds.json")["outbound/payments"]

    assert "wait_for_warm_on_init" not in cluster
    discovery = cluster["cluster_type"]["typed_config"]
    resolver = discovery["typed_dns_resolver_config"]["typed_config"]
    assert (resolver["query_timeout_seconds"], resolver["query_tries"]) == (1, 2)


def test_spans_to_opentelemetry_have_the_name_of_the_service_whose_envoy_sends_them() -> None:
    found = {
        name: tracer.get("service_name")
        for name, tracer in tracers("tracing-opentelemetry", "front1")
    }

    assert found == {"inbound/front": "front", "outbound/app@front": "front"}
