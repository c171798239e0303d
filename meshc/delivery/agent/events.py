"""What can happen to the agent, and what it can decide to do.

``at`` is a moment of the monotonic clock and ``luck`` a random share between 0 and 1; both come
in from outside, so that the same events always lead to the same decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshc.delivery.agent.haste import Haste
    from meshc.delivery.agent.ledger import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The agent has come up; ``is_whole``: an Envoy could start with what lies in the target.

    ``adopted`` is the generation that was found there, where none was known to be good.
    """

    at: float
    is_whole: bool
    adopted: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChanged:
    """Something moved in the source."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """Time has passed."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The source's generation is stored; the same as before where nothing has changed.

    ``build`` is the one that it came with, where it is another one; ``order`` that of its
    publication, as far as the source has orders; ``clock_ms`` the time of day at which it came.
    """

    at: float
    generation: str
    build: str = ""
    order: int | None = None
    clock_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged:
    """Other endpoints may be right for what runs."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFailed:
    """The source gave nothing; ``is_incomplete``: somebody may just be writing there."""

    at: float
    reason: str
    hint: str = ""
    is_incomplete: bool = False
    luck: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A generation may be delivered."""

    at: float
    generation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A guard wants somebody's word before a generation is delivered."""

    at: float
    generation: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A stored generation is damaged or gone."""

    at: float
    generation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A generation lies on disk; ``is_accepted``: Envoy has said that it runs it.

    ``is_untidy``: something must be removed later, when listeners have drained; ``has_changed``:
    it did not lie there already; ``endpoints``: what is used of dependencies, in words.
    """

    at: float
    generation: str
    is_accepted: bool = True
    is_untidy: bool = False
    needs_restart: bool = False
    has_changed: bool = True
    endpoints: str = ""
    admin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Envoy, or its validation, refuses a generation; ``is_restored``: the good one is back."""

    at: float
    generation: str
    refusal: Refusal
    is_restored: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What a killed delivery had begun was taken back, under an Envoy that does not run."""

    at: float
    generation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A check or a delivery could not be done; that says nothing about the generation."""

    at: float
    generation: str
    reason: str
    hint: str = ""
    is_gone: bool = False
    is_restored: bool = True
    luck: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """How Envoy and the target are; ``is_current``: it runs what lies there (None: not known)."""

    at: float
    is_up: bool
    is_current: bool | None = None
    is_restarted: bool = False
    is_disk_changed: bool = False
    is_whole: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReplaced:
    """The target is another directory of the same name, which the running Envoy cannot see."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseAsked:
    """The operator wants the source not to be followed."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeAsked:
    """The operator wants the source to be followed again."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackAsked:
    """The operator wants this generation, and the source not to be followed."""

    at: float
    generation: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowAsked:
    """The operator gives the word that a guard has asked for."""

    at: float
    generation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    """The agent shall end."""

    at: float


Event = (
    Started
    | SourceChanged
    | Ticked
    | Fetched
    | HealthChanged
    | FetchFailed
    | Passed
    | Held
    | Lost
    | Delivered
    | Rejected
    | Undone
    | Failed
    | Probed
    | TargetReplaced
    | PauseAsked
    | ResumeAsked
    | RollbackAsked
    | AllowAsked
    | StopAsked
)


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the source; answered by Fetched or FetchFailed."""

    known: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """Guards and local validation; answered by Passed, Held, Rejected, Lost or Failed."""

    generation: str
    is_allowed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Bring a generation under Envoy; answered by Delivered, Rejected, Undone, Lost or Failed.

    ``is_ending``: an earlier delivery was cut off, so what lies on disk may be files of two;
    ``fallback`` is what must then lie there if Envoy does not run.  ``is_renewal``: it runs, and
    its endpoints may have changed.
    """

    generation: str
    is_ending: bool = False
    fallback: str | None = None
    is_renewal: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """Look at Envoy and at the target; answered by Probed."""


@dataclass(frozen=True, slots=True)
class Hurry:
    """Ask the delivery that runs not to wait for anything that can be done later."""

    haste: Haste


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process."""


Action = Fetch | Check | Deliver | Probe | Hurry | Stop
Job = Fetch | Check | Deliver | Probe
