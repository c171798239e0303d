"""Back to an earlier generation, because an operator says so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.generations import short
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from meshc.delivery.agent.generations import Generations
    from meshc.delivery.agent.ledger import Ledger


def rollback_asked(generation: str) -> ev.RollbackAsked:
    """Return the event for an operator's wish."""
    return ev.RollbackAsked(
        at=time.monotonic(),
        generation=generation,
        reason=f"rolled back to {short(generation)} by an operator",
    )


def rollback_target(ledger: Ledger, store: Generations, text: str) -> str:
    """Return the generation that an operator means; nothing said: the one before this one.

    Raises:
        DeliveryError: there is no such one, or Envoy refuses it.
    """
    if not text and ledger.previous is None:
        raise DeliveryError(
            "there is no earlier generation to go back to", hint="see: meshc agent history"
        )
    wanted = store.find(text) if text else str(ledger.previous)
    if wanted in ledger.quarantine:
        raise DeliveryError(
            f"Envoy refuses generation {short(wanted)}: {ledger.quarantine[wanted].reason}"
        )
    if store.load(wanted) is None:
        raise DeliveryError(
            f"generation {short(wanted)} is damaged or gone", hint="see: meshc agent history"
        )
    return wanted
