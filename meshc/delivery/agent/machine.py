"""The agent's decisions: a pure function from a state and an event to a state and actions.

No clock, no files, no network.  One job runs at a time.  What must outlive a crash is in the
`Ledger`, and the shell writes that down before it begins with the actions of a step.

The rules, in the order in which they win:

1. What was begun is ended first: a delivery that was cut off is finished, or taken back.
2. What the operator wants goes before what the source says.
3. A generation in quarantine is never tried again; one that a guard holds waits for a word.
4. While Envoy does not run, what lies on disk stays, as long as an Envoy could start with it.
5. Failures of the world are repeated for ever, at growing, random distances.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.haste import Haste
from meshc.delivery.agent.meaning import take

if TYPE_CHECKING:
    from meshc.delivery.agent.state import State


def step(state: State, event: ev.Event) -> tuple[State, tuple[ev.Action, ...]]:
    """Take an event in and decide what to do."""
    return _decide(take(state, event), event.at)


def wake_at(state: State) -> float | None:
    """Return when something is due even if nothing happens; None: while a job runs, never."""
    if state.job is not None:
        return None
    due = [state.probe_at, _fetch_due(state)]
    if _target(state) is not None:
        due.append(state.deliver_at)
    if state.tidy_at is not None and state.is_up is not False:
        due.append(state.tidy_at)
    return min(due)


def is_settled(state: State) -> bool:
    """Whether there is nothing left to do until something happens or goes wrong."""
    return state.job is None and _target(state) is None and state.dirty_since is None


def _decide(state: State, at: float) -> tuple[State, tuple[ev.Action, ...]]:
    if state.job is not None:
        return _while_busy(state)
    if state.is_stopping:
        return state, (ev.Stop(),)
    job = _next_job(state, at)
    if job is None:
        return state, ()
    if isinstance(job, ev.Fetch):
        state = replace(state, fetch_began=at)
    if isinstance(job, ev.Deliver):
        ledger = replace(state.ledger, intent=job.generation)
        state = replace(state, ledger=ledger, tidy_at=None, deliver_began=at)
    return replace(state, job=job), (job,)


def _while_busy(state: State) -> tuple[State, tuple[ev.Action, ...]]:
    if state.is_stopping:
        if isinstance(state.job, ev.Deliver):
            return state, (ev.Hurry(Haste.STOP),)
        return replace(state, job=None), (ev.Stop(),)  # nothing but a delivery has to end well
    if isinstance(state.job, ev.Deliver) and _is_overtaken(state, state.job):
        return state, (ev.Hurry(Haste.NEWS),)
    if isinstance(state.job, ev.Deliver) and (state.renew_since or 0.0) > state.deliver_began:
        return state, (ev.Hurry(Haste.ENDPOINTS),)
    return state, ()


def _is_overtaken(state: State, job: ev.Deliver) -> bool:
    """Whether something newer waits; that nobody has looked at the source so far is no news."""
    has_moved = state.dirty_since is not None and state.moved_at > state.started_at
    return has_moved or state.ledger.wanted not in {None, job.generation}


def _next_job(state: State, at: float) -> ev.Job | None:
    """Return what has been due for longest; a delivery goes before everything else."""
    target = _target(state)
    if target is not None and at >= state.deliver_at:
        if _must_check(state, target):
            return ev.Check(target, is_allowed=target in state.ledger.allowed)
        if state.ledger.intent is None:
            is_renewal = target == state.ledger.good and not state.must_repeat
            return ev.Deliver(generation=target, is_renewal=is_renewal)
        good = state.ledger.good
        fallback = None if good in state.lost else good
        return ev.Deliver(generation=target, is_ending=True, fallback=fallback)
    due: list[tuple[float, ev.Job]] = [
        (_fetch_due(state), ev.Fetch(state.latest)),
        (state.probe_at, ev.Probe()),
    ]
    if state.tidy_at is not None and state.ledger.good is not None and state.is_up is not False:
        due.append((state.tidy_at, ev.Deliver(generation=state.ledger.good)))
    moment, job = min(due, key=lambda one: one[0])
    return job if at >= moment else None


def _must_check(state: State, target: str) -> bool:
    """Whatever comes from the source is checked once; what was good needs no check."""
    ledger = state.ledger
    return target not in (ledger.intent, ledger.wanted, ledger.good, state.checked)


def _is_news(state: State) -> bool:
    """Whether the source has something that Envoy should run and does not."""
    latest = state.latest
    return (
        not state.ledger.paused
        and latest is not None
        and latest != state.ledger.good
        and latest not in state.held
        and state.doubt is None
        and _can_try(state, latest)
    )


def _target(state: State) -> str | None:
    """Return the generation that has to be delivered, if there is one."""
    ledger = state.ledger
    if ledger.intent is not None and (ending := _ending(state)) is not None:
        return ending
    if state.is_up is False and state.is_whole and not state.is_unconfirmed_mode:
        return None
    must_repeat = state.must_repeat and ledger.good is not None and ledger.good not in state.lost
    if must_repeat and not state.is_whole:
        # From something damaged no ordered way leads to something new.
        return ledger.good
    if ledger.wanted is not None and _can_try(state, ledger.wanted):
        return ledger.wanted
    if _is_news(state):
        return state.latest
    is_old = state.renew_since is not None and ledger.good not in state.lost
    return ledger.good if must_repeat or is_old else None


def _ending(state: State) -> str | None:
    """Return how to end what was begun: finish it, or put back what was good."""
    ledger = state.ledger
    if ledger.intent is not None and _can_try(state, ledger.intent):
        return ledger.intent
    if ledger.good is not None and ledger.good not in state.lost:
        return ledger.good
    return None


def _can_try(state: State, generation: str) -> bool:
    return generation not in state.ledger.quarantine and generation not in state.lost


def _fetch_due(state: State) -> float:
    if state.dirty_since is None:
        return state.fetch_at
    if not state.is_incomplete:
        return state.dirty_since
    latest = state.dirty_since + state.rhythm.longest_quiet
    return min(state.moved_at + state.rhythm.quiet, latest)
