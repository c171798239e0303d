"""What the agent must still know after a crash, in one file that is old or new, never torn."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.durable import write_durably
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAME = "ledger.json"
_FORMAT = 1
_MOST_REFUSALS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a generation is in quarantine; ``place`` is the line of a spec, as far as it is known."""

    reason: str
    path: str = ""
    resource: str = ""
    place: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The agent's memory.

    Attributes:
        good: The generation that Envoy accepted last; also the one that lies on disk, unless
            there is an intent.
        is_accepted: False where ``good`` was laid out for an Envoy that has not said yes so far.
        previous: The one that was good before.
        intent: A delivery has begun; which files lie on disk is not certain until it is over.
        wanted: The operator asks for this one and no other.
        paused: Why the source is not followed; empty: it is.
        quarantine: Generations that Envoy refused; never tried again.
        allowed: Generations that may shrink or grow as they like.
        admin: Where Envoy's admin interface answered last.
        order: The highest order of a publication that was followed; 0: of none.
        order_of: The generation that came with it.
    """

    good: str | None = None
    is_accepted: bool = False
    previous: str | None = None
    intent: str | None = None
    wanted: str | None = None
    paused: str = ""
    quarantine: Mapping[str, Refusal] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()
    admin: str = ""
    order: int = 0
    order_of: str = ""

    def needed(self) -> set[str]:
        """Generations that must not be forgotten."""
        return {one for one in (self.good, self.previous, self.intent, self.wanted) if one}


def bounded(quarantine: Mapping[str, Refusal]) -> dict[str, Refusal]:
    """Return the newest entries; the one that came in last is one, whatever the clock said."""
    others = list(quarantine.items())
    last = others[-1:]
    newest = sorted(others[:-1], key=lambda item: item[1].at)[-(_MOST_REFUSALS - 1) :]
    return dict(newest + last)


def save_ledger(state: Path, ledger: Ledger) -> None:
    """Write the ledger; when this returns, a power cut does not bring an older one back.

    Raises:
        DeliveryError: the disk refuses; the previous ledger is still there.
    """
    content = json.dumps(
        asdict(ledger) | {"allowed": sorted(ledger.allowed), "format": _FORMAT}, sort_keys=True
    )
    digest = hashlib.sha256(content.encode()).hexdigest()
    try:
        write_durably(state / _NAME, f'{{"sha256": "{digest}",\n"ledger": {content}}}\n'.encode())
    except OSError as error:
        raise DeliveryError(
            f'cannot write "{state / _NAME}": {error.strerror or error}',
            hint="see whether the disk is full or read-only; what Envoy runs is not touched",
        ) from error


def load_ledger(state: Path, *, must_read: bool = False) -> tuple[Ledger, str]:
    """Return the ledger, and what is wrong with the file; then an empty one is given.

    Raises:
        DeliveryError: with ``must_read``, where it is there and the disk does not give it: what
            was begun must not be forgotten for that.
    """
    try:
        text = (state / _NAME).read_bytes()
    except FileNotFoundError:
        return Ledger(), ""
    except OSError as error:
        if must_read:
            raise DeliveryError(
                f'cannot read "{state / _NAME}": {error.strerror or error}',
                hint="if that stays so, move the file away; the agent then takes what lies in the "
                "target for good",
            ) from error
        return Ledger(), f"it cannot be read: {error.strerror}"
    try:
        outer = json.loads(text)
        content = outer["ledger"]
        canonical = json.dumps(content, sort_keys=True).encode()
        if hashlib.sha256(canonical).hexdigest() != outer["sha256"]:
            return Ledger(), "its digest is not that of its content"
        return _read(content), ""
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return Ledger(), "it is no ledger"


def _read(content: Any) -> Ledger:
    if content.pop("format") != _FORMAT:
        raise ValueError("format")
    refusals = {name: Refusal(**entry) for name, entry in content["quarantine"].items()}
    allowed = frozenset(content["allowed"])
    return Ledger(**content | {"quarantine": refusals, "allowed": allowed})
