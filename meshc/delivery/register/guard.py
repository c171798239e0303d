"""When a run would take out too much: after an empty bundle, another mesh's, a broken generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_SHRINK = 0.3
"""As for publishing, and as an agent has it."""
_SHOWN = 3


def refusal(losing: Collection[str], *, registered: int, share: float) -> str | None:
    """Say why hosts may not lose what they have registered; None where they may.

    One host may always, or a mesh of three could never be taken apart host by host.
    """
    allowed = max(1, int(registered * share))
    if len(losing) <= allowed:
        return None
    shown = ", ".join(sorted(losing)[:_SHOWN]) + (", …" if len(losing) > _SHOWN else "")
    return (
        f"{len(losing):,} of {registered:,} hosts would lose what they have registered ({shown}), "
        f"and {allowed:,} may at once"
    )
