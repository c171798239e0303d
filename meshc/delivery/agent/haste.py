"""How much a delivery that runs is in the way of something else."""

from __future__ import annotations

import enum


class Haste(enum.IntEnum):
    """How little may be waited for; more is worth more."""

    NONE = 0
    ENDPOINTS = 1
    """Endpoints have changed: connections that drain are not waited for."""
    NEWS = 2
    """Something newer waits: what can be done later is left for later."""
    STOP = 3
    """The process shall end: nothing is waited for that Envoy does not answer at once."""


def unhurried() -> Haste:
    """Say that nobody is in a hurry."""
    return Haste.NONE
