"""Which generation an operator means, and whether it can be had."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.generations import short
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Collection

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
    _refuse_quarantined(ledger, text or str(ledger.previous))
    wanted = store.find(text) if text else str(ledger.previous)
    _refuse_quarantined(ledger, wanted)
    if store.load(wanted) is None:
        raise DeliveryError(
            f"generation {short(wanted)} is damaged or gone", hint="see: meshc agent history"
        )
    return wanted


def allow_target(ledger: Ledger, held: Collection[str], store: Generations, text: str) -> str:
    """Return the generation, held or in quarantine, that an operator means.

    Raises:
        DeliveryError: there is no such one, or nothing stands in its way, so that his word would
            mean nothing.
    """
    stopped = {*held, *ledger.quarantine}
    found = [name for name in sorted(stopped) if text and name.startswith(text)]
    if len(found) == 1:
        return found[0]
    wanted = store.find(text)
    if wanted not in stopped:
        raise DeliveryError(
            f"neither guard nor quarantine holds generation {short(wanted)}, so there is nothing "
            "to allow",
            hint="see: meshc agent status",
        )
    return wanted


def _refuse_quarantined(ledger: Ledger, text: str) -> None:
    """Say why, also for a generation whose files are long forgotten."""
    for name, refusal in ledger.quarantine.items():
        if text and name.startswith(text):
            raise DeliveryError(
                f"generation {short(name)} is in quarantine: {refusal.reason}",
                hint="mend it, build and publish; if the cause was this host: meshc agent allow "
                + short(name),
            )
