"""What one connection may cost, over what grpclib limits by itself.

Figures: the secure defaults of gRPC servers on hostile networks; what an Envoy says of itself in
the first request of each stream is 60 KiB, its pings are 30 s apart, and it opens one stream, or
without ADS one for each dependency.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from meshc.delivery.xds.transport.memory import Memory

_PREFACE, _FRAME_HEAD = 24, 9
"""What a connection begins with, and a frame: bytes."""
_CHEAP = frozenset((0, 8))
"""DATA and WINDOW_UPDATE, of which a client that is only busy sends many."""
_REQUEST = 16 * 1024
"""Bytes of a request that cost as much as another request."""
_SPARE = 64
"""Descriptors for files, for whoever asks how the server is, and for the server itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a server; times are in seconds, sizes in bytes."""

    message: int = 512 * 1024
    """A request: one that comes back over delta says all that it has, with 2,000 dependencies about
    300 KiB."""
    json: int = 256 * 1024
    """A request in JSON; that of an Envoy 1.40 has 76 KiB."""
    metadata: int = 8 * 1024
    streams: int = 1_024
    """Open at once on one connection: an Envoy without ADS has two for each dependency."""
    unread: int = 2 * 1024 * 1024
    """Of large requests that have not come to their end, on all streams of one connection."""
    connections: int = 12_000
    """All together, polls and handshakes included, as far as there are file descriptors."""
    connections_of_one: int = 2_000
    """From one address, or one network of IPv6; a translator of addresses may stand for many
    hosts."""
    types: int = 32
    """Different types on one stream; there are a dozen, and each is remembered."""
    names: int = 100_000
    """Names that all streams of one connection ask for or have; a node with 2,000 dependencies has
    14,000."""
    requests_a_second: int = 50
    """Requests on one connection, above a burst of ten times as many; the rest waits.  Each 16 KiB
    of a request count as one more."""
    taken: float = 60.0
    """Until a response is read."""
    first_request: float = 5.0
    """From the connection, or the end of its handshake, to its first request, and from there to
    its end."""
    handshake: float = 5.0
    age: float = 1_800.0
    """A connection that is older is asked to come again, and closed a little later."""
    age_grace: float = 30.0
    idle: float = 60.0
    """A connection without a stream for so long is asked to come again when it needs one."""
    frames_a_second: int = 50
    """Resets, pings, settings and new streams together, above a burst of ten times as many."""
    any_frames_a_second: int = 1_000
    """Frames of all kinds, above a burst of three times as many: what a parser does in a tenth of
    a second.  An Envoy that starts with 2,000 dependencies sends 100."""
    ping_every: float = 30.0
    ping_answer: float = 10.0


def descriptors() -> int:
    """Return how many connections this process has file descriptors for, with some left over."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else max(1, most - _SPARE)


class Allowance:
    """A bucket that fills with time: how much of something may still come."""

    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, rate: float, most: float) -> None:
        self._rate, self._most = rate, most
        self._left = self._most
        self._at = time.monotonic()

    def take(self, number: int) -> bool:
        """Spend what is there; where that is not enough nothing is spent."""
        self._fill()
        if number > self._left:
            return False
        self._left -= number
        return True

    def owe(self, number: int) -> float:
        """Spend, also what is not there; return in how many seconds it will be."""
        self._fill()
        self._left -= number
        return max(0.0, -self._left / self._rate)

    def _fill(self) -> None:
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now


class Account:
    """What one connection has used of what its streams share."""

    __slots__ = ("_large", "_requests", "memory", "names")

    def __init__(self, limits: Limits, memory: Memory) -> None:
        rate = limits.requests_a_second
        self._requests = Allowance(rate, rate * 10)
        self.memory = memory
        self.names = 0
        """Names that its streams ask for or have."""
        self._large: WeakKeyDictionary[object, int] | None = None
        """Bytes of large requests that have begun to come, by whoever reads them."""

    def hold(self, reader: object, size: int) -> int:
        """Take note of what has come of a large request; return how much it is with all others."""
        if self._large is None:
            self._large = WeakKeyDictionary()
        self._large[reader] = size
        return sum(self._large.values())

    def charge(self, size: int) -> float:
        """Take note of a request of so many bytes; return for how many seconds it has to wait."""
        return self._requests.owe(1 + size // _REQUEST)


class FrameCounter:
    """Counts the HTTP/2 frames of a connection as they come, also those that h2 passes over."""

    __slots__ = ("_head", "_skip")

    def __init__(self) -> None:
        self._skip = _PREFACE
        self._head = b""

    def take(self, data: bytes) -> tuple[int, int]:
        """Return how many frames begin in what has come, and how many of these are costly."""
        at, self._skip = self._skip, 0
        if self._head:
            data, self._head = self._head + data, b""
        count = costly = 0
        while at + _FRAME_HEAD <= len(data):
            count += 1
            costly += data[at + 3] not in _CHEAP
            at += _FRAME_HEAD + int.from_bytes(data[at : at + 3], "big")
        if at > len(data):
            self._skip = at - len(data)
        else:
            self._head = data[at:]
        return count, costly
