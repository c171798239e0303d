"""Let what an Envoy has under way end before it is stopped.

Callers come first: no new connections from other hosts, and every answer says that it is the last
one on its connection.  Once nothing comes in any more, the same for the own applications' calls.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.delivery.agent.admin import EnvoyAdmin

_PAUSE_S = 0.1
_INBOUND, _OUTBOUND = "inbound", "outbound"
_REQUESTS = re.compile(r"http\.(?P<name>(?:inbound|outbound)/.+)\.downstream_rq_active")
_CONNECTIONS = re.compile(r"cluster\.(?P<name>(?:inbound|outbound)/.+)\.upstream_cx_active")
_GAUGES = r"^(http|cluster)\.(inbound|outbound)/.*\.(downstream_rq|upstream_cx)_active$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What was left when waiting ended: requests, and for TCP connections, by chain or cluster."""

    left: dict[str, int]
    seconds: float

    @property
    def is_done(self) -> bool:
        """Whether everything had ended."""
        return not self.left


def drain(
    admin: EnvoyAdmin,
    *,
    within_s: float,
    on_progress: Callable[[str, int], None] = lambda _what, _left: None,
) -> Drained:
    """Drain an Envoy, for at most ``within_s`` seconds; it goes on running, for a stop to follow.

    ``on_progress`` is told what is waited for (inbound, outbound) and how much of it is left.

    Raises:
        AdminError: Envoy's admin interface does not answer; EnvoyGoneError where nobody listens.
    """
    began = time.monotonic()
    # Answers say that they are the last on their connection; HTTP/2 gets GOAWAY.
    admin.fail_health()
    left: dict[str, int] = {}
    for direction in (_INBOUND, _OUTBOUND):
        admin.stop_listening(is_inbound_only=direction == _INBOUND)
        while left := _under_way(admin, direction):
            on_progress(direction, sum(left.values()))
            if time.monotonic() - began >= within_s:
                return Drained(left=left, seconds=time.monotonic() - began)
            time.sleep(_PAUSE_S)
    return Drained(left=left, seconds=time.monotonic() - began)


def _under_way(admin: EnvoyAdmin, direction: str) -> dict[str, int]:
    """Return requests, and the connections of clusters whose listeners know no requests."""
    gauges = admin.gauges(_GAUGES)
    requests: dict[str, int] = {}
    connections: dict[str, int] = {}
    for name, value in gauges.items():
        for kind, found in ((_REQUESTS, requests), (_CONNECTIONS, connections)):
            if (match := kind.fullmatch(name)) and match["name"].startswith(f"{direction}/"):
                found[match["name"]] = value
    # A caller's own cluster or chain is named after it, where the other of both is shared.
    with_requests = {name.partition("@")[0] for name in requests}
    found = requests | {
        name: value
        for name, value in connections.items()
        if name.partition("@")[0] not in with_requests
    }
    return {name: value for name, value in found.items() if value}
