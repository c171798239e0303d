"""Spans of real Envoys in a real Zipkin, told where it is by the generated files alone."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.delivery.live import until
from tests.observability.sample import own_network, running_sample
from tests.observability.zipkin import running_zipkin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.observability.sample import Sample
    from tests.observability.zipkin import Zipkin

pytestmark = [pytest.mark.envoy, pytest.mark.zipkin]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sample, Zipkin]]:
    """The sample mesh, and the Zipkin that its `mesh.yaml` names."""
    folder, network = tmp_path_factory.mktemp("zipkin"), own_network(70)
    with contextlib.ExitStack() as stack:
        zipkin = stack.enter_context(running_zipkin(folder, f"{network}200"))
        tracing = f"tracing:\n  zipkin: {{host: {zipkin.host}, port: {zipkin.port}}}\n"
        yield stack.enter_context(running_sample(folder, network, mesh=tracing)), zipkin


@pytest.fixture(scope="module")
def trace(traced: tuple[Sample, Zipkin]) -> tuple[str, str, list[dict[str, Any]]]:
    """One request whose caller has begun a trace: its id, the caller's span, the spans."""
    mesh, zipkin = traced
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    begun = {"x-b3-traceid": trace_id, "x-b3-spanid": caller, "x-b3-sampled": "1"}
    mesh.call(**begun)
    until(lambda: len(zipkin.trace(trace_id)) >= 3, "all spans of the trace")
    return trace_id, caller, zipkin.trace(trace_id)


def test_one_request_is_one_trace_with_the_spans_of_both_hops(
    trace: tuple[str, str, list[dict[str, Any]]],
) -> None:
    _, _, spans = trace

    seen = [
        (span["name"], span["kind"], span["localEndpoint"]["serviceName"], span["tags"]["node_id"])
        for span in spans
    ]
    assert seen[:2] == [
        ("front", "SERVER", "front", "front1"),
        ("app", "CLIENT", "front", "front1"),
    ]
    assert seen[2] in [
        ("app", "SERVER", "app", "myapp1"),
        ("app", "SERVER", "app", "myapp2"),
    ]
    assert len(seen) == 3


def test_each_span_is_the_child_of_the_one_that_called(
    trace: tuple[str, str, list[dict[str, Any]]],
) -> None:
    trace_id, caller, spans = trace

    assert {span["traceId"] for span in spans} == {trace_id}
    assert [span["parentId"] for span in spans] == [caller, spans[0]["id"], spans[1]["id"]]


def test_spans_say_what_was_asked_and_answered(
    trace: tuple[str, str, list[dict[str, Any]]],
) -> None:
    _, _, spans = trace

    for span in spans:
        assert span["tags"]["http.method"] == "GET"
        assert span["tags"]["http.status_code"] == "200"
    assert [span["tags"]["upstream_cluster.name"] for span in spans] == [
        "inbound/front",
        "outbound/app",
        "inbound/app",
    ]


def test_a_request_that_nobody_traces_yet_begins_a_trace(
    traced: tuple[Sample, Zipkin],
) -> None:
    mesh, zipkin = traced
    path = f"/{secrets.token_hex(8)}"

    mesh.call(path)

    def found() -> list[list[dict[str, Any]]]:
        query = f"http.url=http://{mesh.host('front1')}:8000{path}"
        traces: list[list[dict[str, Any]]] = zipkin.get("/api/v2/traces", annotationQuery=query)
        return traces

    until(lambda: [len(one) for one in found()] == [3], "one trace of three spans")
    [begun] = found()
    assert sum("parentId" not in span for span in begun) == 1


def test_zipkin_knows_who_calls_whom(
    traced: tuple[Sample, Zipkin],
    trace: tuple[str, str, list[dict[str, Any]]],
) -> None:
    _, zipkin = traced
    assert trace

    links = zipkin.get("/api/v2/dependencies", endTs=int(time.time() * 1000))

    assert {(link["parent"], link["child"]) for link in links} == {("front", "app")}
