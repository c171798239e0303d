"""Whether a publication may follow the one that was seen before; pure.

Orders are times of publication, so they go on rising when Consul comes back with the data of
yesterday, or is built anew.  What the source says is followed forward only.
"""

from __future__ import annotations

import time

from meshc.artifact.published import FUTURE_MS

_LATEST_MS = 253_370_764_800_000  # the year 9999, whatever comes after it


def why_doubtful(
    order: int, generation: str, *, seen: int, seen_of: str, clock_ms: int
) -> str | None:
    """Return why a publication must not be followed without somebody's word, or None.

    Args:
        order: When it was published, in milliseconds since 1970.
        generation: The node's files in it.
        seen: The highest order of all that were followed.
        seen_of: The generation that came with it; that one is right whenever it was published.
        clock_ms: What time this host thinks it is.
    """
    if generation == seen_of:
        return None
    if order <= seen:
        return (
            f"it is an older publication, of {moment(order)}; this host has seen that of "
            f"{moment(seen)}"
        )
    if order > max(clock_ms, seen) + FUTURE_MS:
        return (
            f"it is a publication from the future, of {moment(order)}; by this host's clock it is "
            f"{moment(clock_ms)}"
        )
    return None


def moment(order: int) -> str:
    """Return an order as people read it."""
    shown = time.gmtime(min(max(order, 0), _LATEST_MS) // 1000)
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", shown)
