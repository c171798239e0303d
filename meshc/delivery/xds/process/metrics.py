"""What is counted, in Prometheus' text format, from the overview of a server or of several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshc.delivery.text import label_value, metric_head
from meshc.delivery.xds.process.status import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFIX = "meshc_serve_"
_PLAIN = (
    ("streams", "gauge", "Open streams.", "open_streams"),
    ("nodes", "gauge", "Nodes with an open stream.", "nodes"),
    ("connections", "gauge", "Open connections.", "connections"),
    (
        "turned_away_total",
        "counter",
        "Connections that were closed because they broke a limit or are withdrawn.",
        "turned_away",
    ),
    (
        "denied_total",
        "counter",
        "Streams and polls for a node that is unknown, or not that of the client.",
        "denied",
    ),
    (
        "handshake_failures_total",
        "counter",
        "Handshakes that failed, or took too long.",
        "handshake_failures",
    ),
    ("switches_total", "counter", "Generations taken over.", "switches"),
    ("source_errors_total", "counter", "Looks at the source that failed.", "source_errors"),
    ("stalls_total", "counter", "Times that nobody was answered for a second.", "stalls"),
    (
        "loaded_timestamp_seconds",
        "gauge",
        "When the generation that is served was loaded.",
        "loaded",
    ),
    (
        "switch_seconds",
        "gauge",
        "How long it took until that generation was on its way to all streams.",
        "switch_s",
    ),
)
_OF_A_WORKER = (
    ("worker_up", "gauge", "1 while the worker answers.", "is_up"),
    ("worker_restarts_total", "counter", "Times that it was started again.", "restarts"),
)
_ABSENCE = (
    ("source_ok", "1 while the newest generation of the source is served.", "problem"),
    ("certificates_ok", "1 while the newest certificates are used.", "certificate_problem"),
    ("memory_ok", "1 while there is memory for clients that are new.", "memory_problem"),
)
_BY_TYPE = (
    ("responses_total", "Responses sent, by type of resource.", "responses"),
    ("refusals_total", "Responses that a client refused, by type of resource.", "refusals"),
)


def metrics(overviews: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines for servers by the name of the worker; "" is a server without workers."""
    samples = [(name, list(_samples(one))) for name, one in overviews.items()]
    there = {name for _, found in samples for name, _, _ in found}
    for metric, kind, text in heads():
        if metric in there:
            yield from metric_head(_PREFIX + metric, kind, text)
        for worker, found in samples:
            of_worker = [f'worker="{label_value(worker)}"'] if worker else []
            for name, labels, value in found:
                if name == metric:
                    said = ",".join([*of_worker, *labels])
                    yield (
                        f"{_PREFIX}{name}{{{said}}} {value}" if said else f"{_PREFIX}{name} {value}"
                    )


def heads() -> Iterator[tuple[str, str, str]]:
    """Yield name, kind and text of every metric there is, names without their prefix."""
    yield from ((name, kind, text) for name, kind, text, _ in _PLAIN)
    yield from ((name, "gauge", text) for name, text, _ in _ABSENCE)
    yield from ((name, "counter", text) for name, text, _ in _BY_TYPE)
    yield from ((name, kind, text) for name, kind, text, _ in _OF_A_WORKER)
    yield "subscriptions", "gauge", "Types that clients subscribe to, by their state."
    yield "refused", "gauge", "Clients that refuse a resource, with the line of its spec."
    yield "generation_info", "gauge", "Which generation is served."


def _samples(one: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Yield name, labels and value."""
    for name, _, _, key in _OF_A_WORKER:
        if key in one:
            yield name, (), int(one[key])
    if "generation" not in one:
        return  # this worker says nothing
    for name, _, _, key in _PLAIN:
        yield name, (), one[key]
    for name, _, key in _ABSENCE:
        yield name, (), int(not one[key])
    yield from _samples_by_type(one)
    yield "generation_info", (f'generation="{label_value(one["generation"])}"',), 1


def _samples_by_type(one: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], float]]:
    for name, _, key in _BY_TYPE:
        for kind, number in sorted(one[key].items()):
            yield name, (f'type="{kind}"',), number
    for kind, states in sorted(one["subscriptions"].items()):
        for state in STATES:
            labels = (f'type="{kind}"', f'state="{state}"')
            yield "subscriptions", labels, states.get(state, 0)
    for said in one["refused"]:
        of_spec = (f'{name}="{label_value(said[name])}"' for name in ("resource", "place"))
        yield "refused", (f'type="{said["type"]}"', *of_spec), said["clients"]
