"""What the agent says about itself; written as a file, so that reading it needs no port.

The first line is for a reader at three in the morning: all is well, or what is wrong and what to
do about it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.events import Check, Deliver
from meshc.delivery.agent.generations import short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from meshc.delivery.agent.ledger import Refusal
    from meshc.delivery.agent.state import State

FORMAT = 1
STATES = (
    "starting",
    "ok",
    "unconfirmed",
    "delivering",
    "paused",
    "source-failing",
    "held",
    "quarantined",
    "envoy-down",
    "failing",
    "stopped",
)
_NAME = "status.json"
_PATIENT_FAILURES = 2
"""A source that fails once is no news; a build may just be on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """The state in one word, one line, and one thing to do."""

    state: str
    summary: str
    todo: str = ""


@dataclass(slots=True, kw_only=True)
class Shown:
    """What is shown beside the state, as the shell knows it."""

    node: str
    source: str
    target: str
    started: float
    builds: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)
    envoy_version: str = ""
    admin: str = ""
    validation: str = ""
    subscriptions: int = 0
    endpoints: Sequence[Mapping[str, Any]] = ()
    delivered_at: float | None = None
    last_error: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


def word_of(  # noqa: PLR0911, one line a state, the worst first
    state: State, *, patience: int = _PATIENT_FAILURES
) -> Word:
    """Say how it is; a source is called failing after so many failures."""
    ledger = state.ledger
    runs = f"generation {short(ledger.good)} runs" if ledger.good else "nothing was delivered yet"
    if state.is_replaced and state.is_up is not False:
        return Word(
            state="failing",
            summary="THE TARGET WAS REPLACED while Envoy ran, so Envoy watches the old directory "
            f"and gets nothing new. {_cap(runs)}",
            todo="restart Envoy: systemctl restart meshc-envoy; and replace files, not the folder",
        )
    if state.delivery_problem is not None and state.is_up is not False:
        return Word(
            state="failing",
            summary=f"FAILING: {state.delivery_problem.text}; it is tried again. {_cap(runs)}",
            todo=state.delivery_problem.hint,
        )
    if state.is_up is False and not state.is_unconfirmed_mode:
        return _down(state)
    if state.latest is not None and state.latest in ledger.quarantine and not ledger.paused:
        return _refused(state, ledger.quarantine[state.latest], runs)
    if state.latest is not None and state.latest in state.held and not ledger.paused:
        return Word(
            state="held",
            summary=f"HELD: generation {short(state.latest)} is not delivered, because "
            f"{state.held[state.latest]}. {_cap(runs)}",
            todo=f"if that is intended: meshc agent allow {short(state.latest)}",
        )
    if state.doubt is not None and state.latest != ledger.good and not ledger.paused:
        return Word(
            state="held",
            summary=f"HELD: generation {short(state.doubt.generation)} is not delivered, because "
            f"{state.doubt.reason}. {_cap(runs)}",
            todo="publish what is right once more (meshc publish … --again), or if this is it: "
            f"meshc agent allow {short(state.doubt.generation)}",
        )
    if state.source_problem is not None and state.source_failures >= patience:
        return Word(
            state="source-failing",
            summary=f"SOURCE FAILING: {state.source_problem.text} ({state.source_failures} times). "
            f"{_cap(runs)}",
            todo=state.source_problem.hint,
        )
    if isinstance(state.job, Check | Deliver):
        return Word(
            state="delivering", summary=f"DELIVERING generation {short(state.job.generation)}"
        )
    if ledger.paused:
        return Word(
            state="paused",
            summary=f"PAUSED: {ledger.paused}. {_cap(runs)}",
            todo="to follow the source again: meshc agent resume",
        )
    return _well(state, runs)


def _down(state: State) -> Word:
    good = state.ledger.good
    why = f": {state.envoy_problem}" if state.envoy_problem else ""
    if not state.is_whole:
        problem = state.source_problem
        return Word(
            state="envoy-down",
            summary=f"NOTHING TO START ENVOY WITH{why}"
            + (f"; and from the source: {problem.text}" if problem else ""),
            todo=(problem.hint if problem else "") or "mend the source; then start Envoy",
        )
    lies = f"generation {short(good)} lies there, whole" if good else "its files are whole"
    return Word(
        state="envoy-down",
        summary=f"ENVOY DOES NOT ANSWER{why}. {_cap(lies)}; new generations wait for it",
        todo="start Envoy, or see its log: journalctl -u meshc-envoy",
    )


def _refused(state: State, refusal: Refusal, runs: str) -> Word:
    where = f' (resource "{refusal.resource}")' if refusal.resource else ""
    place = f" from {refusal.place}" if refusal.place else ""
    return Word(
        state="quarantined",
        summary=f"REFUSED: generation {short(state.latest or '')}{where}{place}: "
        f"{refusal.reason}. It is in quarantine. {_cap(runs)}",
        todo=(f"mend {refusal.place}, build and publish" if refusal.place else "mend and publish")
        + f"; if the cause was this host: meshc agent allow {short(state.latest or '')}",
    )


def _well(state: State, runs: str) -> Word:
    if state.ledger.good is None:
        return Word(
            state="starting",
            summary=f"WAITING for a first generation; {runs}",
            todo=state.source_problem.text if state.source_problem else "",
        )
    if state.is_unconfirmed_mode:
        return Word(
            state="unconfirmed",
            summary=f"DELIVERED, NOT CONFIRMED: {runs.removesuffix(' runs')} lies in place; "
            "nobody asks Envoy about it",
            todo="give the agent an admin address, and drop --unconfirmed",
        )
    if not state.is_confirmed:
        return Word(state="starting", summary=f"CHECKING whether {runs}")
    if state.needs_restart:
        return Word(
            state="ok",
            summary=f"OK: {runs}, but its bootstrap has changed and is read at a start only",
            todo="restart Envoy when it suits: systemctl restart meshc-envoy",
        )
    return Word(state="ok", summary=f"OK: {runs}, confirmed by Envoy")


def _cap(text: str) -> str:
    return text[:1].upper() + text[1:]


def describe(state: State, shown: Shown, since: float) -> dict[str, Any]:
    """Return the whole status; ``since`` is when its state began."""
    ledger = state.ledger
    word = word_of(state)

    def generation(name: str | None) -> dict[str, str] | None:
        return None if name is None else {"generation": name, "build": shown.builds.get(name, "")}

    return {
        "format": FORMAT,
        "node": shown.node,
        "state": word.state,
        "summary": word.summary,
        "todo": word.todo,
        "since": round(since, 3),
        "desired": generation(state.latest),
        "delivered": generation(ledger.good),
        "previous": generation(ledger.previous),
        "delivering": generation(ledger.intent),
        "delivered_at": shown.delivered_at,
        "confirmed": state.is_confirmed,
        "accepted": dict(shown.accepted),
        "paused": ledger.paused,
        "quarantine": {name: asdict(refusal) for name, refusal in ledger.quarantine.items()},
        "held": state.waiting(),
        "published": {"order": ledger.order, "generation": ledger.order_of},
        "last_error": shown.last_error,
        "source": {
            "address": shown.source,
            "failures": state.source_failures,
            "problem": state.source_problem.text if state.source_problem else "",
        },
        "envoy": {
            "up": state.is_up,
            "version": shown.envoy_version,
            "admin": shown.admin,
            "needs_restart": state.needs_restart,
        },
        "leftovers": state.tidy_at is not None,
        "validation": shown.validation,
        "subscriptions": shown.subscriptions,
        "endpoints": list(shown.endpoints),
        "notes": list(shown.notes),
        "target": shown.target,
        "pid": os.getpid(),
        "started": round(shown.started, 3),
        "updated": round(time.time(), 3),
    }


class StatusFile:
    """Writes the status where it can be read at any time."""

    def __init__(self, state: Path) -> None:
        self._path = state / _NAME

    def write(self, status: dict[str, Any]) -> None:
        """Replace the status; a disk that takes no write is told of by the log and by metrics."""
        text = json.dumps(status, indent=1) + "\n"
        draft = self._path.with_suffix(".new")
        try:
            # Nothing is lost with a status, so nothing is synced.
            draft.write_text(text, encoding="utf-8")
            draft.rename(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._write_over(text.encode())

    def _write_over(self, text: bytes) -> None:
        """Write into the old status: on a full disk there is room for nothing else."""
        with self._path.open("r+b", buffering=0) as stream:
            stream.write(text.ljust(os.fstat(stream.fileno()).st_size))


def read_status(state: Path) -> dict[str, Any] | None:
    """Return the status that an agent has written last; None where there is none."""
    try:
        found = json.loads((state / _NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None
