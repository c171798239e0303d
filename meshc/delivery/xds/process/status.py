"""What runs where, and what was refused, as JSON values.

`overview` is {"generation", "mesh", "listen", "tls", "started", "loaded", "switch_s", "switches",
"problem", "source_errors", "certificate_problem", "memory_problem", "stalls", "connections",
"turned_away", "denied", "handshake_failures", "open_streams", "nodes", "subscriptions": {"CDS":
{"acknowledged": 3}}, "responses": {"CDS": 9}, "refusals": {}, "refused": [{"type", "resource",
"place", "clients"}]}.

`describe` has besides {"streams": [{"node", "address", "since", "generation", "problem",
"responses", "is_settled", "types": {"CDS": {"state", "sent", "acknowledged", "refused", "reason",
"resource", "place", "resources": [{"resource", "place"}]}}}]}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshc.delivery.xds.protocol.types import SHORT_NAMES
from meshc.delivery.xds.services.refusals import counted, refusal
from meshc.delivery.xds.transport.strangers import address_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.delivery.xds.process.run import Serving
    from meshc.delivery.xds.protocol.subscription import Subscription
    from meshc.delivery.xds.protocol.types import TypeUrl
    from meshc.delivery.xds.services.connected import Connected
    from meshc.delivery.xds.services.hub import Hub

STATES = ("acknowledged", "waiting", "refused", "silent")
OTHER = "other"
"""All types that only clients know, so that none of them makes up names here."""


def overview(serving: Serving) -> dict[str, Any]:
    """Return what is to be said of a running server as a whole."""
    bundles = serving.bundles
    counts = serving.hub.counts()
    states: dict[str, dict[str, int]] = {}
    for one in serving.hub:
        for type_url, known in one.state.subscriptions.items():
            of_type = states.setdefault(SHORT_NAMES.get(type_url, OTHER), {})
            state = state_of(known)
            of_type[state] = of_type.get(state, 0) + 1
    return {
        "generation": "" if bundles is None else bundles.generation,
        "mesh": "" if bundles is None else bundles.mesh,
        "listen": str(serving.settings.listen),
        "tls": serving.settings.tls is not None,
        "started": serving.facts.started,
        "loaded": serving.facts.loaded,
        "switch_s": serving.facts.switch_s,
        "switches": serving.facts.switches,
        "problem": serving.facts.problem,
        "source_errors": serving.facts.source_errors,
        "certificate_problem": serving.facts.certificate_problem,
        "memory_problem": serving.memory_problem,
        "stalls": serving.facts.stalls,
        "connections": len(serving.server.connections.open),
        "turned_away": serving.server.connections.turned_away,
        "denied": serving.hub.strangers.refusals,
        "handshake_failures": serving.server.connections.room.handshakes.refusals,
        "open_streams": len(serving.hub),
        "nodes": len(serving.hub.nodes()),
        "subscriptions": states,
        "responses": _by_name(counts.responses),
        "refusals": _by_name(counts.refusals),
        "refused": [
            {
                "type": SHORT_NAMES.get(type_url, OTHER),
                "resource": resource,
                "place": place,
                "clients": clients,
            }
            for type_url, resource, place, clients in counted(serving.hub)
        ],
    }


def _by_name(counts: Mapping[TypeUrl, int]) -> dict[str, int]:
    return {SHORT_NAMES.get(type_url, OTHER): number for type_url, number in counts.items()}


def describe(serving: Serving) -> dict[str, Any]:
    """Return everything about a running server."""
    return overview(serving) | {
        "streams": [
            _stream(one, serving.hub)
            for one in sorted(serving.hub, key=lambda one: (one.node, one.since))
        ],
    }


def _stream(one: Connected, hub: Hub) -> dict[str, Any]:
    return {
        "node": one.node,
        "address": address_text(one.address),
        "since": one.since,
        "generation": one.state.snapshot.generation,
        "problem": one.problem,
        "responses": one.state.responses,
        "is_settled": one.state.is_settled,
        "types": {
            SHORT_NAMES.get(type_url, type_url): _subscription(one.node, type_url, known, hub)
            for type_url, known in one.state.subscriptions.items()
        },
    }


def _subscription(node: str, type_url: TypeUrl, known: Subscription, hub: Hub) -> dict[str, Any]:
    found: dict[str, Any] = {
        "state": state_of(known),
        "sent": known.sent_version,
        "acknowledged": known.acknowledged_version,
    }
    refused = refusal(node, type_url, known, hub)
    if refused is not None:
        found |= {
            "refused": refused.version,
            "reason": refused.reason,
            "resource": refused.resource,
            "place": refused.place,
            "resources": [
                {"resource": one.resource, "place": one.place} for one in refused.resources
            ],
        }
    return found


def state_of(known: Subscription) -> str:
    """Say in a word how a type is: what Envoy made of the last response."""
    if known.refusal is not None:
        return "refused"
    if known.is_outstanding:
        return "waiting"
    return "acknowledged" if known.sent_version else "silent"
