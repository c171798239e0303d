"""What Envoy made of one rename: accepted, refused, unreadable, or not even noticed."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from meshc.delivery.agent.admin import SubscriptionState
from meshc.delivery.errors import AdminError, EnvoyGoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from meshc.delivery.agent.admin import EnvoyAdmin
    from meshc.delivery.agent.configuration import Subscription

_Answer = TypeVar("_Answer")

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05
_SHARE = 0.01
_DEAR_S = 0.005
_LONGEST_REST_S = 0.2
_MOST_AT_ONCE = 32
"""Subscriptions in one question: Envoy takes 60 KiB of it, and looks for each of them."""
_BASELINE_S = 1.0


class Outcome(enum.Enum):
    """The ways in which Envoy can take a file."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """Refused, but possibly applied in part: good resources changed, absent ones removed."""
    FAILED = "could not be read"
    MISSED = "was not noticed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what, in seconds.

    ``notice`` is how long a rename may go unnoticed by an Envoy that answers otherwise;
    ``answer`` how long it may say nothing, as it does while it applies thousands of resources;
    ``warm`` leaves time for a name server that never answers (Envoy gives up after 107 s);
    ``warm_least`` is how long clusters may warm although something newer waits, so that changes
    that never end keep no cluster from ever being used;
    ``drain_margin`` is added to the drain time that Envoy was started with.
    """

    notice: float = 1.0
    answer: float = 30.0
    warm: float = 120.0
    warm_least: float = 15.0
    drain_margin: float = 5.0
    nudges: int = 3


def judge(before: SubscriptionState, after: SubscriptionState, version: str) -> Outcome | None:
    """Tell from the counters before and after a rename what became of it; None: nothing yet."""
    if after.attempt < before.attempt:
        before = SubscriptionState()  # Envoy was restarted and counts from zero.
    if after.version == version and (before.version != version or after.success > before.success):
        return Outcome.ACCEPTED
    if after.rejected > before.rejected:
        return Outcome.REJECTED
    if after.failure > before.failure:
        return Outcome.FAILED
    return None


def judge_all(
    before: Mapping[Subscription, SubscriptionState],
    after: Mapping[Subscription, SubscriptionState],
    version: str,
) -> Outcome | None:
    """Judge a file by all subscriptions to it that Envoy has.

    Listeners with the same route file share one subscription, counted under the first of them,
    so a subscription that Envoy does not know is no bad sign.
    """
    found = [
        judge(before.get(name, SubscriptionState()), now, version) for name, now in after.items()
    ]
    for bad in (Outcome.REJECTED, Outcome.FAILED):
        if bad in found:
            return bad
    return Outcome.ACCEPTED if found and None not in found else None


class Baseline:
    """What subscriptions say before a delivery's first rename, asked for all at once.

    Each is good for one rename, and that soon: whatever is counted later than it was asked for is
    put down to that rename.
    """

    def __init__(
        self, states: Mapping[Subscription, SubscriptionState], names: set[Subscription]
    ) -> None:
        self._states = states
        self._names = names
        self._asked_at = time.monotonic()

    @classmethod
    def of(cls, admin: EnvoyAdmin, subscriptions: Iterable[Subscription]) -> Self:
        """Ask, where that are not too many for one question; who is not known here asks later."""
        names = set(subscriptions)
        if not names or len(names) > _MOST_AT_ONCE:
            return cls({}, set())
        try:
            return cls(admin.states(sorted(names)), names)
        except AdminError:
            return cls({}, set())

    def take(
        self, subscriptions: Collection[Subscription]
    ) -> Mapping[Subscription, SubscriptionState] | None:
        """Return what some said, once; None where they have to be asked."""
        is_known = self._names.issuperset(subscriptions)
        self._names.difference_update(subscriptions)
        if not is_known or time.monotonic() > self._asked_at + _BASELINE_S:
            return None
        return {name: self._states[name] for name in subscriptions if name in self._states}


class Watch:
    """Looks at the subscriptions to a file before a rename and after it.

    ``before`` is what they said just now, where that is known.
    """

    def __init__(
        self,
        admin: EnvoyAdmin,
        subscriptions: Collection[Subscription],
        version: str,
        patience: Patience,
        *,
        before: Mapping[Subscription, SubscriptionState] | None = None,
    ) -> None:
        self._admin = admin
        self._names = subscriptions
        self._version = version
        self._patience = patience
        if before is None:
            before = patiently(lambda: admin.states(subscriptions), patience)
        self._before = before

    def wait(self) -> Outcome:
        """Wait for the outcome of a rename that has just been made.

        Raises:
            AdminError: Envoy has stopped answering or is gone.
        """
        started = last_answer = time.monotonic()
        for _ in pauses():
            try:
                outcome = self._look()
            except EnvoyGoneError:
                raise
            except AdminError:
                # The thread that answers is the one that applies; a big file keeps it busy.
                if time.monotonic() - last_answer > self._patience.answer:
                    raise
                continue
            if outcome is not None:
                return outcome
            last_answer = time.monotonic()
            if last_answer - started > self._patience.notice:
                return Outcome.MISSED if self._is_watched() else Outcome.ACCEPTED
        raise AssertionError  # pauses never end

    def _is_watched(self) -> bool:
        """Whether Envoy reads the file at all; not where it has refused what refers to it.

        A subscription that has read nothing so far has a version too, an empty one.
        """
        if self._before:
            return True
        versions = self._admin.versions()
        return any(f"{name}version_text" in versions for name in self._names)

    def _look(self) -> Outcome | None:
        if all(state.version != self._version for state in self._before.values()):
            versions = self._admin.versions()
            seen = [versions.get(f"{name}version_text") for name in self._names]
            if {version for version in seen if version is not None} == {self._version}:
                return Outcome.ACCEPTED
        return judge_all(self._before, self._admin.states(self._names), self._version)


def _never() -> bool:
    """Say that nobody is in a hurry."""
    return False


def await_zero(
    count: Callable[[], int],
    limit_s: float,
    patience: Patience,
    should_hurry: Callable[[], bool] = _never,
    *,
    due_s: float = 0.0,
) -> bool:
    """Wait until a count of Envoy's is zero; False where it is not in time, or must not wait.

    ``due_s`` says in what time that is to be expected, where it is known.

    Raises:
        AdminError: Envoy has stopped answering or is gone.
    """
    started = last_answer = time.monotonic()
    for _ in pauses(due_s):
        try:
            left = count()
        except EnvoyGoneError:
            raise
        except AdminError:
            if time.monotonic() - last_answer > patience.answer:
                raise
            continue
        last_answer = time.monotonic()
        if not left:
            return True
        if last_answer - started > limit_s or should_hurry():
            return False
    raise AssertionError  # pauses never end


def patiently(ask: Callable[[], _Answer], patience: Patience) -> _Answer:
    """Ask until Envoy answers; the thread that answers is the one that applies big files.

    Raises:
        AdminError: Envoy has stopped answering or is gone.
    """
    started = time.monotonic()
    for _ in pauses():
        try:
            return ask()
        except EnvoyGoneError:
            raise
        except AdminError:
            if time.monotonic() - started > patience.answer:
                raise
    raise AssertionError  # pauses never end


def pauses(due_s: float = 0.0) -> Iterator[None]:
    """Sleep between any two rounds, for ever: a hundredth of the time so far.

    So what takes a second is noticed 10 ms late, and what is due in a second 1 ms late: nothing is
    slept past that moment, and from there on it counts anew.  An Envoy that takes long to answer
    is asked less often, because the thread that answers has other work to do.
    """
    started = time.monotonic()
    due = started + due_s
    while True:
        asked = time.monotonic()
        yield
        now = time.monotonic()
        if now < due:
            pause = min((now - started) * _SHARE, _LONGEST_PAUSE_S, due - now)
        else:
            pause = min((now - due) * _SHARE, _LONGEST_PAUSE_S)
        cost = now - asked
        if cost > _DEAR_S:
            pause = max(pause, min(2 * cost, _LONGEST_REST_S))
        time.sleep(max(pause, _FIRST_PAUSE_S))
