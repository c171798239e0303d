"""What a single run has come to; pure."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from meshc.delivery.agent.machine import is_settled

if TYPE_CHECKING:
    from meshc.delivery.agent.state import State


class Verdict(enum.Enum):
    """How a single run ends; the values are exit codes."""

    DONE = 0
    REFUSED = 1
    WORLD = 3


def verdict_of(  # noqa: C901, PLR0911, one by one
    state: State, *, is_fresh: bool, is_following: bool
) -> Verdict | None:
    """Return what a single run has come to; None: it is still at it.

    ``is_fresh``: the files were laid out in this run, for an Envoy that does not run yet;
    ``is_following``: the run was to deliver what the source has, and no other generation.
    """
    ledger = state.ledger
    if state.job is not None:
        return None
    if ledger.wanted is not None:
        return Verdict.WORLD if _is_stuck(state) else None
    if state.latest is not None and not ledger.paused:
        if state.latest in ledger.quarantine and ledger.intent is None and not state.must_repeat:
            return Verdict.REFUSED
        if state.latest in state.held or (state.doubt and state.latest != ledger.good):
            return Verdict.REFUSED
    if _is_stuck(state):
        return Verdict.WORLD
    if not is_settled(state) or (state.latest is None and is_following):
        return None
    if ledger.paused and is_following and state.latest != ledger.good:
        return Verdict.REFUSED
    if state.latest != ledger.good and not ledger.paused:
        return Verdict.WORLD if state.is_up is False else None
    if state.is_confirmed or is_fresh or state.is_unconfirmed_mode:
        return Verdict.DONE
    return Verdict.WORLD if state.is_up is False else None


def _is_stuck(state: State) -> bool:
    """Whether the world is in the way; a single run does not wait for it to change."""
    return (
        state.delivery_problem is not None
        or (state.source_problem is not None and not state.ledger.wanted)
        or (state.ledger.wanted is not None and state.is_up is False and state.is_whole)
    )
