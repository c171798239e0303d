"""Mistakes that could be in the agent: each is made on purpose, and a campaign must find it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from meshc.delivery import materialize
from meshc.delivery.agent import deliver, run
from meshc.delivery.agent.ledger import save_ledger
from meshc.delivery.agent.steps import Put, Remove
from meshc.delivery.agent.swap import put_file, remove_file
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import ModuleType

    from meshc.delivery.agent.ledger import Ledger
    from meshc.delivery.agent.steps import Step

_PIECE = 200


def _patch(module: ModuleType, name: str, function: object) -> None:
    setattr(module, name, function)


def write_in_place() -> None:
    """Write into the file that Envoy reads, piece by piece, and wake Envoy afterwards."""

    def put(directory: Path, path: str, data: bytes) -> None:
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb", buffering=0) as stream:
            for start in range(0, len(data), _PIECE):
                stream.write(data[start : start + _PIECE])
        put_file(directory, path, data)

    _patch(deliver, "put_file", put)
    _patch(materialize, "put_file", put)


def remember_no_intent() -> None:
    """Begin a delivery without having written down that it has begun."""

    def save(state: Path, ledger: Ledger) -> None:
        save_ledger(state, dataclasses.replace(ledger, intent=None))

    _patch(run, "save_ledger", save)


def swap_all_together() -> None:
    """Replace all files one after the other, listeners first, and wait for nothing."""

    def run_all(self: deliver._Delivery, steps: Sequence[Step]) -> None:
        last = {step.path: step for step in steps if isinstance(step, Put)}
        for path in sorted(last):
            put_file(self.directory, path, last[path].data)
        for step in steps:
            if isinstance(step, Remove):
                remove_file(self.directory, step.path)

    deliver._Delivery.run = run_all  # type: ignore[method-assign]


def swallow_the_disk() -> None:
    """Go on as if a file had been written when the disk has refused it."""

    def put(directory: Path, path: str, data: bytes) -> None:
        try:
            put_file(directory, path, data)
        except DeliveryError:
            return

    _patch(deliver, "put_file", put)


MUTANTS: dict[str, Callable[[], None]] = {
    "write in place": write_in_place,
    "remember no intent": remember_no_intent,
    "swap all together": swap_all_together,
    "swallow the disk": swallow_the_disk,
}
