"""Tell what happens: log, history, metrics, status file, service manager."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.generations import short
from meshc.delivery.agent.history import History
from meshc.delivery.agent.inotify import instances_limit
from meshc.delivery.agent.metrics import Metrics
from meshc.delivery.agent.status import Shown, StatusFile, describe, word_of
from meshc.delivery.notify import notify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.delivery.agent.generations import Generations
    from meshc.delivery.agent.jobs import Jobs
    from meshc.delivery.agent.settings import AgentSettings
    from meshc.delivery.agent.state import State
    from meshc.delivery.log import Log

_HEARTBEAT_S = 30.0
_RENEWALS_APART_S = 60.0
"""For so long changes of endpoints are counted before the history has another line of them."""
_SHOWN_JOBS = (ev.Check, ev.Deliver)
_BAD = {"failing", "envoy-down", "quarantined", "held"}
_TROUBLE = {"envoy is gone", "failed", "held", "rejected", "target incomplete", "target replaced"}


class Reporter:
    """Sees every event with the states before and after it."""

    def __init__(
        self, settings: AgentSettings, log: Log, store: Generations, *, is_resident: bool
    ) -> None:
        self._log = log
        self._store = store
        self._history = History(settings.state)
        self._file = StatusFile(settings.state)
        self._is_resident = is_resident
        self._word = ""
        self._since = time.time()
        self._noticed: float | None = None
        self._shown: tuple[object, ...] = ()
        self._show_at = 0.0
        self._told: dict[str, str] = {}
        self._renewals = 0
        self._renewal_told_at = -math.inf
        self.metrics = Metrics(node=settings.node, started=time.time())
        self.shown = Shown(
            node=settings.node,
            source=settings.source,
            target=str(settings.target),
            started=time.time(),
        )

    def saw(self, event: ev.Event, before: State, after: State) -> None:  # noqa: C901, PLR0912, one kind each
        """Take notice of an event."""
        match event:
            case ev.Started():
                self._noticed = event.at
            case ev.SourceChanged():
                if self._noticed is None:
                    self._noticed = event.at
            case ev.Fetched():
                self._fetched(event, before, after)
            case ev.FetchFailed():
                self._fetch_failed(event, after)
            case ev.Held():
                self._noticed = None  # How long somebody thinks about it is no latency.
                self._count("held")
                self._error(event.reason)
                self._tell("held", event.generation, reason=event.reason)
            case ev.Delivered():
                self._delivered(event, before)
            case ev.Rejected():
                self._rejected(event, after)
            case ev.Undone():
                self._tell("taken back", event.generation, reason="Envoy does not run")
            case ev.Failed():
                self._failed(event)
            case ev.Lost():
                self._log.warn("damaged generation", generation=short(event.generation))
            case ev.Probed():
                self._probed(event, before, after)
            case ev.TargetReplaced():
                self._tell("target replaced", after.ledger.good or "")
            case ev.PauseAsked():
                self._tell("paused", "", reason=event.reason)
            case ev.ResumeAsked():
                self._tell("resumed", "")
            case ev.RollbackAsked():
                self._tell("rollback asked for", event.generation)
            case ev.AllowAsked():
                self._tell("allowed", event.generation)
            case ev.Passed() | ev.Ticked() | ev.StopAsked() | ev.HealthChanged():
                pass

    def show(self, state: State, jobs: Jobs) -> None:
        """Bring status and metrics up to date, where something has changed."""
        told = (
            *(state.ledger, state.latest, state.held, state.is_up, state.is_confirmed),
            *(
                state.is_whole,
                state.tidy_at is not None,
                state.needs_restart,
                state.is_replaced,
                state.source_failures,
                state.source_problem,
                state.doubt,
            ),
            *(state.delivery_problem, state.job if isinstance(state.job, _SHOWN_JOBS) else None),
            *(jobs.probe.accepted, jobs.facts.validation, self.shown.notes, self.shown.last_error),
            *(jobs.probe.info.version if jobs.probe.info else "", jobs.endpoints()),
        )
        if told == self._shown and time.monotonic() < self._show_at:
            return
        self._shown = told
        self._show_at = time.monotonic() + _HEARTBEAT_S
        word = word_of(state)
        if word.state != self._word:
            self._word = word.state
            self._since = time.time()
            say = self._log.warn if word.state in _BAD else self._log.info
            say("state", state=word.state, summary=word.summary, todo=word.todo or None)
            if self._is_resident:
                notify(STATUS=word.summary)
        shown = self.shown
        shown.accepted = jobs.probe.accepted
        shown.admin = jobs.probe.address or state.ledger.admin
        shown.envoy_version = jobs.probe.info.version if jobs.probe.info else ""
        shown.validation = jobs.facts.validation
        shown.subscriptions = jobs.probe.subscriptions
        shown.endpoints = jobs.endpoints()
        shown.builds = dict(self._builds({state.latest, *state.ledger.needed()} - {None}))
        self._measure(state, word.state)
        self._file.write(describe(state, shown, self._since))

    def _builds(self, generations: set[str | None]) -> Iterator[tuple[str, str]]:
        """Yield the build that each generation came with, as far as that is known."""
        for name in filter(None, generations):
            build = self.shown.builds.get(name)
            if build is None:
                stored = self._store.describe(name)
                build = stored.build if stored else None
            if build is not None:
                yield name, build

    def _measure(self, state: State, word: str) -> None:
        metrics = self.metrics
        metrics.state = word
        metrics.is_confirmed = state.is_confirmed
        metrics.desired = short(state.latest or "")
        metrics.delivered = short(state.ledger.good or "")
        metrics.published = state.ledger.order / 1000
        metrics.quarantined = len(state.ledger.quarantine)
        metrics.subscriptions = self.shown.subscriptions
        metrics.endpoints = self.shown.endpoints
        metrics.inotify_limit = instances_limit() or 0

    def _fetched(self, event: ev.Fetched, before: State, after: State) -> None:
        if not isinstance(after.job, _SHOWN_JOBS):
            self._noticed = None  # Whatever is delivered next, it is not for this change.
        if after.doubt is not None and after.doubt != before.doubt:
            self._count("held")
            self._error(after.doubt.reason)
            self._tell("held", event.generation, reason=after.doubt.reason)
        if event.generation == before.latest:
            return
        if event.build:
            self.shown.builds = {**self.shown.builds, event.generation: event.build}
        self._log.info(
            "fetched", generation=short(event.generation), build=short(event.build) or None
        )

    def _fetch_failed(self, event: ev.FetchFailed, after: State) -> None:
        if after.source_problem is None:
            return  # somebody is still writing there
        self.metrics.source_errors += 1
        if self._told.get("source") != event.reason:
            self._told["source"] = event.reason
            self._log.warn("source failed", reason=event.reason, hint=event.hint or None)
        self._error(event.reason)

    def _renewed(self, event: ev.Delivered) -> None:
        """Tell that endpoints have changed; a check that flaps must not fill the history."""
        self._log.info("endpoints changed", endpoints=event.endpoints)
        self.metrics.endpoint_changes += 1
        self._renewals += 1
        if event.at >= self._renewal_told_at + _RENEWALS_APART_S:
            self._history.add(
                "endpoints changed",
                generation=event.generation,
                endpoints=event.endpoints,
                times=self._renewals,
            )
            self._renewals = 0
            self._renewal_told_at = event.at

    def _delivered(self, event: ev.Delivered, before: State) -> None:
        if isinstance(before.job, ev.Deliver) and before.job.is_renewal:
            if event.has_changed:
                self._renewed(event)
            return
        self._told.clear()
        seconds = None if self._noticed is None else event.at - self._noticed
        self._noticed = None
        is_new = before.ledger.good != event.generation
        now = time.time()
        if is_new:
            self._count("delivered")
            if seconds is not None:
                self.metrics.observe(seconds)
            self.shown.delivered_at = round(now, 3)
        else:
            self.metrics.nudges += 1
        self.metrics.last_success = now
        self._tell(
            "delivered" if is_new else "delivered again",
            event.generation,
            confirmed=event.is_accepted,
            seconds=None if seconds is None else round(seconds, 4),
            left=event.is_untidy or None,
            restart=event.needs_restart or None,
        )

    def _rejected(self, event: ev.Rejected, after: State) -> None:
        self._noticed = None
        self._count("rejected")
        refusal = event.refusal
        self._error(**asdict(refusal))
        self._tell(
            "rejected",
            event.generation,
            reason=refusal.reason,
            resource=refusal.resource or None,
            place=refusal.place or None,
            file=refusal.path or None,
            restored=event.is_restored,
            quarantined=event.generation in after.ledger.quarantine,
        )

    def _failed(self, event: ev.Failed) -> None:
        self._count("failed")
        self._error(event.reason)
        if self._told.get("delivery") != event.reason:
            self._told["delivery"] = event.reason
            self._tell("failed", event.generation, reason=event.reason, hint=event.hint or None)

    def _probed(self, event: ev.Probed, before: State, after: State) -> None:
        if event.is_restarted:
            self.metrics.envoy_restarts += 1
            self._tell("envoy restarted", after.ledger.good or "", confirmed=after.is_confirmed)
        elif event.is_up and before.is_up is False:
            self._tell("envoy is there", after.ledger.good or "", confirmed=after.is_confirmed)
        if not event.is_up and before.is_up is not False and event.reason:
            what = "envoy is gone" if event.is_whole else "target incomplete"
            self._tell(what, after.ledger.good or "", reason=event.reason)
        if event.is_disk_changed and self._told.get("disk") != after.ledger.good:
            self._told["disk"] = after.ledger.good or ""
            self._log.warn("files changed by somebody else", target=self.shown.target)
        if event.is_current is False:
            self._log.warn("envoy does not run what lies on disk")

    def _count(self, outcome: str) -> None:
        self.metrics.deliveries[outcome] += 1

    def _error(self, reason: str, **facts: Any) -> None:
        self.shown.last_error = {"at": round(time.time(), 3), "reason": reason, **facts}

    def _tell(self, what: str, generation: str, **facts: Any) -> None:
        known = {key: value for key, value in facts.items() if value is not None}
        self._history.add(what, generation=generation, **known)
        say = self._log.warn if what in _TROUBLE else self._log.info
        say(what, generation=short(generation) or None, **known)
