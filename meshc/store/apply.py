"""Bringing about what somebody wants: read, compare, judge, write, and again if need be."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshc.consul.errors import (
    ConsulError,
    ConsulReplyError,
    ConsulUnavailableError,
    ConsulUnreachableError,
)
from meshc.store.change import plan_change
from meshc.store.commit import commit, remove, settle
from meshc.store.errors import StoreConflictError, StoreError
from meshc.store.judge import judge
from meshc.store.snapshot import read_snapshot

if TYPE_CHECKING:
    from meshc.store.change import Plan, Wish
    from meshc.store.judge import Judgement
    from meshc.store.snapshot import KeyValue, Revision, Snapshot
    from meshc.store.source import ConsulStore

_ATTEMPTS = 20
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a wish.  Where the judgement has errors, nothing was written.

    ``names`` are all that were there before, ``missing`` those to be deleted that were not.
    ``is_settled`` is False where the change counts but is not moved in yet, because Consul
    failed on the way; the next change does that.
    """

    plan: Plan
    judgement: Judgement
    revision: int
    names: frozenset[str]
    missing: tuple[str, ...] = ()
    is_settled: bool = True

    @property
    def has_changed(self) -> bool:
        """Whether the store is another one now, or would be after a dry run."""
        return bool(self.plan.changes) and not self.judgement.has_errors


def change_store(
    consul: KeyValue, store: ConsulStore, wish: Wish, *, is_dry: bool = False
) -> Outcome:
    """Bring about a wish, all of it or nothing; what is as wanted already is not written.

    Of two changes at the same time one is written first and the other is judged anew on top of
    it.  Raises StoreConflictError where both change the same document, so that nobody's change
    is lost without a word.
    """
    first: Snapshot | None = None
    for attempt in range(_ATTEMPTS):
        snapshot = read_snapshot(consul, store.keys)
        plan = plan_change(snapshot, wish)
        _refuse_pruning(plan, wish)
        if first is None:
            first = snapshot
        else:
            _refuse_overwriting(first, snapshot, plan)
        outcome = Outcome(
            plan=plan,
            judgement=judge(store, snapshot, wish, plan),
            revision=snapshot.revision.number,
            names=frozenset(snapshot.documents),
            missing=tuple(name for name in wish.deleted if name not in snapshot.documents),
        )
        if is_dry or not outcome.has_changed:
            return outcome
        try:
            if snapshot.pending:
                settle(consul, store.keys, snapshot)
                continue
            revision = _committed(consul, store, snapshot, plan)
        except StoreConflictError:
            _pause(attempt)
            continue
        is_settled = _tidy(consul, store, snapshot, revision)
        return replace(outcome, revision=revision.number, is_settled=is_settled)
    raise StoreConflictError(
        f"others changed the store {_ATTEMPTS} times in a row; nothing was written",
        hint="apply again when less is going on",
    )


def _committed(consul: KeyValue, store: ConsulStore, snapshot: Snapshot, plan: Plan) -> Revision:
    try:
        return commit(consul, store.keys, snapshot, plan.changes)
    except (ConsulUnreachableError, ConsulUnavailableError, ConsulReplyError) as error:
        raise StoreError(
            f"{error.message}; whether the change was stored is not known",
            hint="run the same command again: what is stored already is left as it is",
        ) from error


def _tidy(consul: KeyValue, store: ConsulStore, snapshot: Snapshot, revision: Revision) -> bool:
    """Move in what was staged and remove what is left of stages; none of it changes anything."""
    try:
        if revision.stage is not None:
            settle(consul, store.keys, read_snapshot(consul, store.keys))
        remove(consul, snapshot.abandoned)
    except StoreConflictError:
        return True  # somebody else does it, or has done more already
    except ConsulError:
        return False
    return True


def _refuse_pruning(plan: Plan, wish: Wish) -> None:
    if wish.is_complete and not wish.may_prune and plan.deleted:
        names = sorted(plan.deleted)
        shown = ", ".join(names[:_SHOWN_NAMES])
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        raise StoreError(
            f"the store has documents that the folder does not have: {shown}{more}",
            hint="delete them with --prune, or leave them alone with: meshc svc apply -f DIR",
        )


def _refuse_overwriting(first: Snapshot, now: Snapshot, plan: Plan) -> None:
    for change in plan.changes:
        before, stored = first.documents.get(change.name), now.documents.get(change.name)
        if (before and before.content) != (stored and stored.content):
            raise StoreConflictError(
                f'"{change.name}" was changed by somebody else at the same time; '
                "nothing was written",
                hint=f"look at it with meshc svc show {change.name}, and apply again",
            )


def _pause(attempt: int) -> None:
    """Let the others finish; the more often one was too late, the longer, but never in step."""
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)
    time.sleep(random.uniform(0, longest))  # noqa: S311, nothing secret
