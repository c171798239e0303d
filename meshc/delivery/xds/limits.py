"""What one connection may cost, over what grpclib limits by itself.

Figures: the secure defaults of gRPC servers on hostile networks; an Envoy's own first request is
about 30 KiB, its pings are 30 s apart, and it opens one or seven streams.
"""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a server; times are in seconds, sizes in bytes."""

    message: int = 64 * 1024
    json: int = 256 * 1024
    """A request in JSON; that of an Envoy 1.40 has 76 KiB."""
    metadata: int = 8 * 1024
    streams: int = 128
    """Open at once on one connection: an Envoy without ADS has one for each dependency."""
    connections: int = 12_000
    first_request: float = 5.0
    """From the connection, TLS included, to its first request."""
    handshake: float = 5.0
    age: float = 1_800.0
    """A connection that is older is asked to come again, and closed a little later."""
    age_grace: float = 30.0
    frames_a_second: int = 50
    """Resets, pings, settings and new streams together, above a burst of ten times as many."""
    ping_every: float = 30.0
    ping_answer: float = 10.0


class Allowance:
    """A bucket that fills with time: how many frames of the costly kinds may still come."""

    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, rate * 10
        self._left = self._most
        self._at = time.monotonic()

    def take(self, number: int) -> bool:
        """Spend; return whether there was enough."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate) - number
        self._at = now
        return self._left >= 0
