"""What an event means for the agent's state; `machine` then decides what to do about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.ledger import bounded
from meshc.delivery.agent.order import why_doubtful
from meshc.delivery.agent.state import Doubt, Problem

if TYPE_CHECKING:
    from meshc.delivery.agent.state import State

_FIRST_RETRY_S = 0.5
_SOURCE_CAP_S = 60.0
_DELIVERY_CAP_S = 10.0
_LEAST_RETRY_S = 0.05
_MOST_DOUBLINGS = 16


def take(state: State, event: ev.Event) -> State:  # noqa: C901, PLR0911, PLR0912, one line an event
    """Return the state after an event, before anything is decided."""
    match event:
        case ev.Started():
            good = state.ledger.good or event.adopted
            return replace(
                state,
                ledger=replace(state.ledger, good=good),
                is_whole=event.is_whole,
                must_repeat=good is not None and not event.is_whole,
                dirty_since=event.at,
                moved_at=event.at,
                started_at=event.at,
                fetch_at=event.at,
                probe_at=event.at,
                deliver_at=event.at,
            )
        case ev.SourceChanged():
            if event.at < state.fetch_began:
                return state  # a fetch that began later has seen it, or is just seeing it
            since = event.at if state.dirty_since is None else state.dirty_since
            return replace(state, dirty_since=since, moved_at=event.at)
        case ev.Ticked():
            return state
        case ev.Fetched():
            return _fetched(state, event)
        case ev.HealthChanged():
            return replace(state, renew_since=event.at)
        case ev.FetchFailed():
            return _fetch_failed(state, event)
        case ev.Passed():
            return replace(state, job=None, checked=event.generation)
        case ev.Held():
            held = {**state.held, event.generation: event.reason}
            return replace(state, job=None, held=held)
        case ev.Lost():
            return _lost(state, event)
        case ev.Delivered():
            return _delivered(state, event)
        case ev.Rejected():
            return _rejected(state, event)
        case ev.Undone():
            return replace(
                _over(state, good=event.generation), is_up=False, is_confirmed=False, is_whole=True
            )
        case ev.Failed():
            return _failed(state, event)
        case ev.Probed():
            return _probed(state, event)
        case ev.TargetReplaced():
            return replace(state, is_replaced=_may_be_watched(state))
        case ev.PauseAsked():
            return replace(state, ledger=replace(state.ledger, paused=event.reason))
        case ev.ResumeAsked():
            ledger = replace(state.ledger, paused="", wanted=None)
            return replace(state, ledger=ledger, fetch_at=event.at, deliver_at=event.at)
        case ev.RollbackAsked():
            return _rollback(state, event)
        case ev.AllowAsked():
            return _allowed(state, event)
        case ev.StopAsked():
            return replace(state, is_stopping=True)
        case _:
            assert_never(event)


def _fetched(state: State, event: ev.Fetched) -> State:
    state = _ordered(state, event)
    is_new = event.generation != state.latest
    return replace(
        state,
        job=None,
        latest=event.generation,
        lost=state.lost - {event.generation},
        dirty_since=_moved_since(state),
        is_incomplete=False,
        fetch_at=event.at + state.rhythm.poll,
        source_failures=0,
        source_problem=None,
        deliver_at=event.at if is_new else state.deliver_at,
        delivery_failures=0 if is_new else state.delivery_failures,
    )


def _ordered(state: State, event: ev.Fetched) -> State:
    """Follow a publication forward, and remember how far; never back."""
    ledger = state.ledger
    if event.order is None:
        return replace(state, doubt=None)
    reason = why_doubtful(
        event.order,
        event.generation,
        seen=ledger.order,
        seen_of=ledger.order_of,
        clock_ms=event.clock_ms,
    )
    if reason is not None:
        doubt = Doubt(generation=event.generation, order=event.order, reason=reason)
        return replace(state, doubt=doubt)
    order = max(event.order, ledger.order)
    ledger = replace(ledger, order=order, order_of=event.generation)
    return replace(state, ledger=ledger, doubt=None)


def _moved_since(state: State) -> float | None:
    """Return when the source moved after the fetch had begun; it may have seen half of that."""
    return state.moved_at if state.moved_at > state.fetch_began else None


def _fetch_failed(state: State, event: ev.FetchFailed) -> State:
    since = state.dirty_since
    is_writing = (
        event.is_incomplete and since is not None and event.at < since + state.rhythm.longest_quiet
    )
    if is_writing:
        return replace(state, job=None, is_incomplete=True, moved_at=max(state.moved_at, event.at))
    return replace(
        state,
        job=None,
        dirty_since=_moved_since(state),
        is_incomplete=event.is_incomplete,
        source_failures=state.source_failures + 1,
        source_problem=Problem(text=event.reason, hint=event.hint),
        fetch_at=event.at + _pause(state.source_failures, _SOURCE_CAP_S, event.luck),
    )


def _lost(state: State, event: ev.Lost) -> State:
    lost = state.lost | {event.generation}
    ledger = state.ledger
    if ledger.wanted in lost:
        ledger = replace(ledger, wanted=None)
    return replace(
        state,
        job=None,
        lost=lost,
        ledger=ledger,
        latest=None if state.latest in lost else state.latest,
        checked=None if state.checked in lost else state.checked,
        must_repeat=state.must_repeat and ledger.good not in lost,
        tidy_at=None if ledger.good in lost else state.tidy_at,
        fetch_at=event.at,
    )


def _delivered(state: State, event: ev.Delivered) -> State:
    state = _over(state, good=event.generation)
    ledger = replace(
        state.ledger,
        is_accepted=event.is_accepted or state.is_unconfirmed_mode,
        admin=event.admin or state.ledger.admin,
    )
    if ledger.wanted == event.generation:
        ledger = replace(ledger, wanted=None)
    return replace(
        state,
        ledger=ledger,
        is_whole=True,
        is_confirmed=event.is_accepted,
        is_up=True if event.is_accepted else state.is_up,
        needs_restart=state.needs_restart or event.needs_restart,
        tidy_at=event.at + state.rhythm.tidy if event.is_untidy else None,
        delivery_failures=0,
        delivery_problem=None,
        probe_at=event.at if event.is_accepted else event.at + state.rhythm.probe_down,
    )


def _over(state: State, *, good: str) -> State:
    """End what was begun: these files lie on disk, all of them."""
    ledger = state.ledger
    if good != ledger.good:
        ledger = replace(ledger, previous=ledger.good)
    ledger = replace(ledger, good=good, intent=None)
    renewed = state.renew_since is None or state.renew_since <= state.deliver_began
    return replace(
        state,
        job=None,
        ledger=ledger,
        must_repeat=False,
        renew_since=None if renewed else state.renew_since,
    )


def _rejected(state: State, event: ev.Rejected) -> State:
    if isinstance(state.job, ev.Check):
        return _rejected_by_check(state, event)
    ledger = state.ledger
    is_good = event.generation == ledger.good
    if is_good and ledger.is_accepted:
        # Envoy ran it before, so the cause lies around it, such as a port that is taken.
        text = f"Envoy refuses what it has accepted before: {event.refusal.reason}"
        if event.is_restored and not _was_begun(state):
            ledger = replace(ledger, intent=None)
        return replace(
            state,
            job=None,
            ledger=ledger,
            is_confirmed=False,
            must_repeat=True,
            delivery_problem=Problem(text=text, hint="its port may be taken; see Envoy's log"),
            delivery_failures=state.delivery_failures + 1,
            deliver_at=event.at + _pause(state.delivery_failures, _DELIVERY_CAP_S, 1.0),
        )
    quarantine = bounded({**ledger.quarantine, event.generation: event.refusal})
    ledger = replace(ledger, quarantine=quarantine)
    if is_good:
        ledger = replace(ledger, good=None, is_accepted=False)
    if ledger.wanted == event.generation:
        ledger = replace(ledger, wanted=None)
    if ledger.good is None or (event.is_restored and not _was_begun(state)):
        ledger = replace(ledger, intent=None)
    return replace(
        state,
        job=None,
        ledger=ledger,
        checked=None,
        must_repeat=state.must_repeat and ledger.good is not None,
        tidy_at=None,
        deliver_at=event.at,
        delivery_problem=None,
    )


def _rejected_by_check(state: State, event: ev.Rejected) -> State:
    """Remember never to deliver it; the target was not touched, so what was begun there stays."""
    quarantine = bounded({**state.ledger.quarantine, event.generation: event.refusal})
    return replace(
        state,
        job=None,
        ledger=replace(state.ledger, quarantine=quarantine),
        checked=None,
        deliver_at=event.at,
    )


def _failed(state: State, event: ev.Failed) -> State:
    ledger = state.ledger
    if event.is_restored and isinstance(state.job, ev.Deliver) and not _was_begun(state):
        ledger = replace(ledger, intent=None)
    is_down = event.is_gone and state.is_whole
    return replace(
        state,
        job=None,
        ledger=ledger,
        is_up=False if event.is_gone else state.is_up,
        envoy_problem=event.reason if event.is_gone else state.envoy_problem,
        is_confirmed=state.is_confirmed and not event.is_gone,
        delivery_failures=state.delivery_failures + 1,
        delivery_problem=Problem(text=event.reason, hint=event.hint),
        deliver_at=event.at + _pause(state.delivery_failures, _DELIVERY_CAP_S, event.luck),
        probe_at=event.at + state.rhythm.probe_down if is_down else state.probe_at,
    )


def _was_begun(state: State) -> bool:
    """Whether this delivery ends an earlier one; what it puts back is then no whole generation."""
    return isinstance(state.job, ev.Deliver) and state.job.is_ending


def _probed(state: State, event: ev.Probed) -> State:
    came_back = event.is_up and (event.is_restarted or state.is_up is False)
    is_stale = event.is_current is False or event.is_disk_changed or not event.is_whole
    must_repeat = state.must_repeat or (is_stale and state.ledger.good is not None)
    if event.is_current and not event.is_disk_changed and event.is_whole:
        must_repeat = False
    accepts = event.is_up and event.is_current is True and not is_stale
    ledger = state.ledger
    if accepts and ledger.good is not None and ledger.intent is None:
        ledger = replace(ledger, is_accepted=True)
    retry_now = came_back or (event.is_up and not state.is_up)
    is_over = accepts and not must_repeat and not _is_waiting(state)
    return replace(
        state,
        job=None,
        ledger=ledger,
        is_up=event.is_up if not state.is_unconfirmed_mode else state.is_up,
        envoy_problem=event.reason,
        is_whole=event.is_whole,
        is_confirmed=accepts,
        must_repeat=must_repeat,
        needs_restart=state.needs_restart and not event.is_restarted,
        is_replaced=state.is_replaced and not event.is_restarted,
        deliver_at=event.at if retry_now else state.deliver_at,
        delivery_problem=None if is_over else state.delivery_problem,
        probe_at=event.at + (state.rhythm.probe if event.is_up else state.rhythm.probe_down),
    )


def _may_be_watched(state: State) -> bool:
    """Whether an Envoy may watch the directory that has just gone.

    Without files in it nobody knew where to ask, so then an Envoy that ran before still does.
    """
    return state.is_up is not False or (not state.is_whole and state.ledger.is_accepted)


def _is_waiting(state: State) -> bool:
    """Whether there is something that Envoy should run and does not, so that it cannot be well."""
    ledger, latest = state.ledger, state.latest
    if ledger.wanted is not None or ledger.intent is not None:
        return True
    if latest is None or ledger.paused or state.doubt is not None:
        return False
    return latest != ledger.good and not (
        latest in ledger.quarantine or latest in state.held or latest in state.lost
    )


def _rollback(state: State, event: ev.RollbackAsked) -> State:
    if event.generation in state.ledger.quarantine or event.generation in state.lost:
        return state
    is_there = event.generation == state.ledger.good and state.is_confirmed
    wanted = None if is_there else event.generation
    ledger = replace(state.ledger, wanted=wanted, paused=event.reason)
    return replace(state, ledger=ledger, deliver_at=event.at)


def _allowed(state: State, event: ev.AllowAsked) -> State:
    """Take the operator's word for it that the cause is gone, or was none."""
    ledger, generation = state.ledger, event.generation
    quarantine = {name: why for name, why in ledger.quarantine.items() if name != generation}
    ledger = replace(ledger, allowed=ledger.allowed | {generation}, quarantine=quarantine)
    held = {name: why for name, why in state.held.items() if name != generation}
    doubt = state.doubt
    if doubt is not None and doubt.generation == generation:
        # From here on forward, also if that means later than nobody knows when.
        ledger = replace(ledger, order=doubt.order, order_of=generation)
        doubt = None
    return replace(state, ledger=ledger, held=held, doubt=doubt, deliver_at=event.at)


def _pause(failures: int, cap: float, luck: float) -> float:
    """Return a random pause below a limit that doubles: many hosts must not come at once."""
    limit = min(cap, _FIRST_RETRY_S * (1 << min(failures, _MOST_DOUBLINGS)))
    return max(_LEAST_RETRY_S, limit * luck)
