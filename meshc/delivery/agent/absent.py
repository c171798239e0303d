"""What an operator may decide while no agent runs; the next one finds it in its memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meshc.delivery.agent.history import History
from meshc.delivery.agent.ledger import load_ledger, save_ledger
from meshc.delivery.agent.lock import TargetLock
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path


def pause_absent(target: Path, state: Path, reason: str) -> None:
    """Let no later agent, or single run, follow the source; an empty reason ends that.

    Raises:
        DeliveryError: no agent has ever run there, one has just started, or the disk refuses.
    """
    if not state.is_dir():
        raise DeliveryError(
            f'no agent has ever run on "{target}"', hint="is it the right --target?"
        )
    with TargetLock(target):
        ledger, problem = load_ledger(state)
        if problem:
            raise DeliveryError(
                f'the memory of the agent in "{state}" is damaged: {problem}',
                hint="start the agent, and ask it then",
            )
        wanted = ledger.wanted if reason else None
        save_ledger(state, replace(ledger, paused=reason, wanted=wanted))
        if reason:
            History(state).add("paused", generation="", reason=reason)
        else:
            History(state).add("resumed", generation="")
