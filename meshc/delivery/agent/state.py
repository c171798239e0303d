"""What the agent's decisions depend on; `machine` says how it changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.delivery.agent import events as ev
    from meshc.delivery.agent.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often, and how long, in seconds."""

    poll: float = 5.0
    quiet: float = 0.05
    longest_quiet: float = 2.0
    probe: float = 5.0
    probe_down: float = 0.5
    tidy: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong now, and what to do about it."""

    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why what the source gave last is not followed: when it was published does not fit."""

    generation: str
    order: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that decisions depend on.

    Attributes:
        job: What is being done; the shell does one thing at a time.
        latest: The generation that the source gave last.
        checked: The one that guards and validation have let pass.
        held: Generations that a guard holds, with its reason.
        doubt: What is wrong with the publication that ``latest`` came with.
        lost: Generations whose stored files are damaged.
        is_whole: An Envoy could start with what lies in the target.
        is_confirmed: Envoy has said since it was last started that it runs what lies there.
        is_up: Whether Envoy runs; None: not known.
        envoy_problem: Why it is taken for one that does not run.
        is_replaced: Envoy watches an older directory of the target's name, and sees nothing new.
        must_repeat: What is good has to be delivered once more.
        renew_since: When its endpoints changed last, and are not known to be delivered.
        deliver_began: When the last delivery began, which has seen every change before that.
    """

    rhythm: Rhythm
    ledger: Ledger
    is_unconfirmed_mode: bool = False
    job: ev.Job | None = None
    latest: str | None = None
    checked: str | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    doubt: Doubt | None = None
    lost: frozenset[str] = frozenset()
    is_whole: bool = False
    is_confirmed: bool = False
    is_up: bool | None = None
    envoy_problem: str = ""
    must_repeat: bool = False
    renew_since: float | None = None
    deliver_began: float = 0.0
    needs_restart: bool = False
    is_replaced: bool = False
    is_stopping: bool = False
    dirty_since: float | None = None
    moved_at: float = 0.0
    started_at: float = 0.0
    is_incomplete: bool = False
    fetch_began: float = 0.0
    fetch_at: float = 0.0
    probe_at: float = 0.0
    deliver_at: float = 0.0
    tidy_at: float | None = None
    source_failures: int = 0
    delivery_failures: int = 0
    source_problem: Problem | None = None
    delivery_problem: Problem | None = None

    def waiting(self) -> dict[str, str]:
        """Return the generations that wait for an operator's word, each with the reason."""
        doubt = {} if self.doubt is None else {self.doubt.generation: self.doubt.reason}
        return {**self.held, **doubt}
