"""What runs where, and what was refused: for people, for programs, for Prometheus.

{"generation", "mesh", "loaded", "problem", "certificate_problem", "connections",
"turned_away", "streams": [{"node", "address", "since", "generation", "problem", "responses",
"is_settled", "types": {"CDS": {"state", "sent", "acknowledged", "refusal", "resource",
"place"}}}]}
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from meshc.artifact.manifest import origin_of
from meshc.delivery.xds.types import SHORT_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshc.delivery.xds.connected import Connected
    from meshc.delivery.xds.run import Serving
    from meshc.delivery.xds.subscription import Subscription

_MAX_REASON = 1024
_NAMES = re.compile(r"(?:inbound|outbound|tracing)/[A-Za-z0-9_@-]{1,200}")
_STATES = ("acknowledged", "waiting", "refused", "silent")


def describe(serving: Serving) -> dict[str, Any]:
    """Return everything about a running server as JSON values."""
    bundles = serving.bundles
    return {
        "generation": "" if bundles is None else bundles.generation,
        "mesh": "" if bundles is None else bundles.mesh,
        "listen": str(serving.settings.listen),
        "tls": serving.settings.tls is not None,
        "started": serving.facts.started,
        "loaded": serving.facts.loaded,
        "switches": serving.facts.switches,
        "problem": serving.facts.problem,
        "certificate_problem": serving.facts.certificate_problem,
        "connections": len(serving.server.connections.open),
        "turned_away": serving.server.connections.turned_away,
        "streams": [
            _stream(one, {} if bundles is None else bundles.origins(one.node))
            for one in sorted(serving.hub, key=lambda one: (one.node, one.since))
        ],
    }


def _stream(one: Connected, origins: Mapping[str, Any]) -> dict[str, Any]:
    address = one.address
    return {
        "node": one.node,
        "address": f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "",
        "since": one.since,
        "generation": one.state.snapshot.generation,
        "problem": one.problem,
        "responses": one.state.responses,
        "is_settled": one.state.is_settled,
        "types": {
            SHORT_NAMES.get(type_url, type_url): _subscription(known, one.node, origins)
            for type_url, known in one.state.subscriptions.items()
        },
    }


def _subscription(known: Subscription, node: str, origins: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "state": state_of(known),
        "sent": known.sent_version,
        "acknowledged": known.acknowledged_version,
    }
    if known.refusal is not None:
        resource = resource_in(known.refusal)
        found |= {
            "refused": known.refused_version,
            "reason": known.refusal[:_MAX_REASON],
            "resource": resource,
            "place": origin_of(origins, node, resource) or "" if resource else "",
        }
    return found


def state_of(known: Subscription) -> str:
    """Say in a word how a type is: what Envoy made of the last response."""
    if known.refusal is not None:
        return "refused"
    if known.is_outstanding:
        return "waiting"
    return "acknowledged" if known.sent_version else "silent"


def resource_in(reason: str) -> str:
    """Return the name of the resource that a client complains about, if it says so."""
    found = _NAMES.search(reason)
    return found[0] if found else ""


def verdict(status: Mapping[str, Any]) -> tuple[str, bool]:
    """Say in a line how the server is, and whether that is well."""
    refusing = sorted(
        {
            one["node"]
            for one in status["streams"]
            if any(kind["state"] == "refused" for kind in one["types"].values())
        }
    )
    nodes = {one["node"] for one in status["streams"]}
    generation = status["generation"][:12]
    if status["problem"]:
        return f"SERVES AN OLD GENERATION {generation}: {status['problem']}", False
    if refusing:
        shown = ", ".join(refusing[:3]) + (" …" if len(refusing) > 3 else "")  # noqa: PLR2004
        return f"REFUSED by {len(refusing)} of {len(nodes)} nodes: {shown}", False
    if status["certificate_problem"]:
        return f"CERTIFICATES ARE NOT RENEWED: {status['certificate_problem']}", False
    return f"OK: generation {generation}, {len(nodes)} nodes connected", True


def render(status: Mapping[str, Any], style: Any, *, now: float | None = None) -> Iterator[str]:
    """Yield lines for people; the first one says it all."""
    now = time.time() if now is None else now
    summary, is_well = verdict(status)
    yield style(summary, "good" if is_well else "error")
    yield ""
    yield f"  mesh         {status['mesh']}"
    yield f"  listens on   {status['listen']}{' (TLS)' if status['tls'] else ' (plaintext)'}"
    yield f"  loaded       {_ago(now - status['loaded'])} ago"
    yield f"  connections  {status['connections']}; turned away: {status['turned_away']}"
    for one in status["streams"]:
        yield ""
        yield f"  {one['node']}  {one['address']}  since {_ago(now - one['since'])}"
        if one["problem"]:
            yield f"    {style(one['problem'], 'warning')}"
        for name, kind in one["types"].items():
            yield f"    {name:<5}{kind['state']:<13}{kind['acknowledged'] or kind['sent']}"
            if kind["state"] == "refused":
                where = f" ({kind['place']})" if kind["place"] else ""
                yield f"         {style(kind['reason'], 'error')}{where}"


def _ago(seconds: float) -> str:
    whole = max(0, int(seconds))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def metrics(serving: Serving) -> Iterator[str]:
    """Yield lines in Prometheus' text format."""
    status = describe(serving)
    counts: dict[tuple[str, str], int] = {}
    for one in status["streams"]:
        for name, kind in one["types"].items():
            counts[name, kind["state"]] = counts.get((name, kind["state"]), 0) + 1
    yield from _metric("meshc_serve_streams", "gauge", "Open streams.", len(status["streams"]))
    nodes = len({one["node"] for one in status["streams"]})
    yield from _metric("meshc_serve_nodes", "gauge", "Nodes with an open stream.", nodes)
    yield from _metric(
        "meshc_serve_connections", "gauge", "Open connections.", status["connections"]
    )
    yield from _metric(
        "meshc_serve_turned_away_total",
        "counter",
        "Connections that were closed because they broke a limit or are withdrawn.",
        status["turned_away"],
    )
    yield from _metric(
        "meshc_serve_switches_total", "counter", "Generations taken over.", status["switches"]
    )
    yield from _metric(
        "meshc_serve_source_ok",
        "gauge",
        "1 while the newest generation of the source is served.",
        int(not status["problem"]),
    )
    yield from _metric(
        "meshc_serve_loaded_timestamp_seconds",
        "gauge",
        "When the generation that is served was loaded.",
        status["loaded"],
    )
    yield "# HELP meshc_serve_subscriptions Types that clients subscribe to, by their state."
    yield "# TYPE meshc_serve_subscriptions gauge"
    for name in sorted({name for name, _ in counts}):
        for state in _STATES:
            number = counts.get((name, state), 0)
            yield f'meshc_serve_subscriptions{{type="{name}",state="{state}"}} {number}'
    generation = status["generation"]
    yield "# HELP meshc_serve_generation_info Which generation is served."
    yield "# TYPE meshc_serve_generation_info gauge"
    yield f'meshc_serve_generation_info{{generation="{generation}"}} 1'


def _metric(name: str, kind: str, help_text: str, value: float) -> Iterator[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
    yield f"{name} {value}"
