"""Clients whose handshake failed, or that asked for a node that is unknown or not theirs.

Whoever can connect can make names up, so only so many are remembered, and each is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MOST_REMEMBERED = 1000
_MOST_UNTOLD = 20
MOST_SHOWN = 200
"""Characters of what a client said."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """The node that was asked for, from where, and why it was refused; of a handshake no node."""

    node: str
    address: str
    reason: str


class Strangers:
    """Those that were refused; each is told of once."""

    def __init__(self) -> None:
        self.refusals = 0
        """How many there were so far."""
        self._remembered: dict[tuple[str, str], None] = {}
        self._untold: list[Stranger] = []

    def add(self, node: str, address: Any, reason: str) -> None:
        """Take note of a refusal; ``address`` is what a socket says of its peer."""
        self.refusals += 1
        one = Stranger(node[:MOST_SHOWN], address_text(address), reason[:MOST_SHOWN])
        # Names tell clients apart, and their addresses do before they have said one.
        key = (one.node or one.address.rpartition(":")[0], one.reason)
        if key in self._remembered or len(self._untold) == _MOST_UNTOLD:
            return
        if len(self._remembered) == _MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[key] = None
        self._untold.append(one)

    def news(self) -> list[Stranger]:
        """Return those that nobody was told of."""
        found, self._untold = self._untold, []
        return found


def address_text(address: Any) -> str:
    """Write down who is at the other end of a connection; nobody knows it of a Unix socket."""
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else ""
