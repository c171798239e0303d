"""Spans of real Envoys at an OpenTelemetry collector, by OTLP over gRPC."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.delivery.live import until
from tests.observability.collector import running_collector
from tests.observability.sample import own_network, running_sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.observability.collector import Collector, Span
    from tests.observability.sample import Sample

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sample, Collector]]:
    """The sample mesh, and the collector that its `mesh.yaml` names."""
    folder, network = tmp_path_factory.mktemp("otlp"), own_network(71)
    with contextlib.ExitStack() as stack:
        collector = stack.enter_context(running_collector(f"{network}200"))
        tracing = f"tracing:\n  openTelemetry: {{host: {collector.host}, port: {collector.port}}}\n"
        yield stack.enter_context(running_sample(folder, network, mesh=tracing)), collector


@pytest.fixture(scope="module")
def trace(traced: tuple[Sample, Collector]) -> tuple[str, list[Span]]:
    """One request whose caller has begun a trace: the caller's span, the spans of the mesh."""
    mesh, collector = traced
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    begun = {"traceparent": f"00-{trace_id}-{caller}-01"}
    mesh.call(**begun)
    until(lambda: len(collector.trace(trace_id)) >= 3, "all spans of the trace")
    return caller, collector.trace(trace_id)


def test_one_request_is_one_trace_with_the_spans_of_both_hops(
    trace: tuple[str, list[Span]],
) -> None:
    _, spans = trace

    assert [(span.service, span.kind) for span in spans] == [
        ("front", "SERVER"),
        ("front", "CLIENT"),
        ("app", "SERVER"),
    ]


def test_each_span_is_the_child_of_the_one_that_called(trace: tuple[str, list[Span]]) -> None:
    caller, spans = trace

    assert [span.parent for span in spans] == [caller, spans[0].id, spans[1].id]


def test_spans_say_what_was_asked_and_answered(trace: tuple[str, list[Span]]) -> None:
    _, spans = trace

    assert [span.attributes["upstream_cluster.name"] for span in spans] == [
        "inbound/front",
        "outbound/app",
        "inbound/app",
    ]
    assert {span.attributes["http.status_code"] for span in spans} == {"200"}
    assert {span.attributes["node_id"] for span in spans[:2]} == {"front1"}
    assert spans[2].attributes["node_id"] in {"myapp1", "myapp2"}


def test_traffic_goes_on_without_a_collector(tmp_path: Path) -> None:
    network = own_network(72)
    tracing = f"tracing:\n  openTelemetry: {{host: {network}200, port: 4317}}\n"

    with running_sample(tmp_path, network, mesh=tracing) as mesh:
        answers = {mesh.call() for _ in range(20)}

    assert answers
