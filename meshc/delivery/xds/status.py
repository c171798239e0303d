"""What runs where, and what was refused, as JSON values.

`overview` is {"generation", "mesh", "listen", "tls", "started", "loaded", "switch_s", "switches",
"problem", "source_errors", "certificate_problem", "stalls", "connections", "turned_away", "denied",
"open_streams", "nodes", "subscriptions": {"CDS": {"acknowledged": 3}}, "responses": {"CDS": 9},
"refusals": {}}.

`describe` has besides {"streams": [{"node", "address", "since", "generation", "problem",
"responses", "is_settled", "types": {"CDS": {"state", "sent", "acknowledged", "refused", "reason",
"resource", "place"}}}]}.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from meshc.artifact.manifest import origin_of
from meshc.delivery.xds.strangers import address_text
from meshc.delivery.xds.types import SHORT_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.delivery.xds.connected import Connected
    from meshc.delivery.xds.run import Serving
    from meshc.delivery.xds.subscription import Subscription
    from meshc.delivery.xds.types import TypeUrl

_MAX_REASON = 1024
_NAMES = re.compile(r"(?:inbound|outbound|tracing)/[A-Za-z0-9_@-]{1,200}")
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
        "stalls": serving.facts.stalls,
        "connections": len(serving.server.connections.open),
        "turned_away": serving.server.connections.turned_away,
        "denied": serving.hub.strangers.refusals,
        "open_streams": len(serving.hub),
        "nodes": len(serving.hub.nodes()),
        "subscriptions": states,
        "responses": _by_name(counts.responses),
        "refusals": _by_name(counts.refusals),
    }


def _by_name(counts: Mapping[TypeUrl, int]) -> dict[str, int]:
    return {SHORT_NAMES.get(type_url, OTHER): number for type_url, number in counts.items()}


def describe(serving: Serving) -> dict[str, Any]:
    """Return everything about a running server."""
    bundles = serving.bundles
    return overview(serving) | {
        "streams": [
            _stream(one, {} if bundles is None else bundles.origins(one.node))
            for one in sorted(serving.hub, key=lambda one: (one.node, one.since))
        ],
    }


def _stream(one: Connected, origins: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "node": one.node,
        "address": address_text(one.address),
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
