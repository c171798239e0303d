"""The agent: a thin shell that carries events to `state.step` and does what comes back.

One thread decides, one works, so that a delivery that waits for Envoy to drain keeps nobody from
reading the status, and the service manager from knowing that all is well.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.admin import AdminAddress
from meshc.delivery.agent.control import Inbox, Request
from meshc.delivery.agent.durable import make_folder
from meshc.delivery.agent.endpoints import Endpoints
from meshc.delivery.agent.generations import Generations, short
from meshc.delivery.agent.haste import Haste
from meshc.delivery.agent.jobs import Jobs
from meshc.delivery.agent.ledger import Ledger, load_ledger, save_ledger
from meshc.delivery.agent.lock import TargetLock, check_place
from meshc.delivery.agent.machine import step, wake_at
from meshc.delivery.agent.metrics import MetricsServer
from meshc.delivery.agent.reporter import Reporter
from meshc.delivery.agent.rollback import allow_target, rollback_asked, rollback_target
from meshc.delivery.agent.settings import metrics_address
from meshc.delivery.agent.sources import open_source
from meshc.delivery.agent.state import Rhythm, State
from meshc.delivery.agent.status import STATES
from meshc.delivery.agent.verdict import Verdict, verdict_of
from meshc.delivery.agent.worker import do_job, look_ahead
from meshc.delivery.errors import DeliveryError
from meshc.delivery.notify import notify, watchdog_interval_s

if TYPE_CHECKING:
    from types import TracebackType

    from meshc.delivery.agent.settings import AgentSettings
    from meshc.delivery.log import Log

_TICK_S = 1.0
"""How often requests of operators are looked for."""
_MAX_PATH = 107  # of a Unix socket
_LONGEST_JOB_S = 1800.0
"""A job that takes longer than the longest drain is stuck, and systemd may start the agent anew."""
_JOIN_S = 1.0
_SHOW_AFTER_S = 0.05
"""A check that takes longer is shown."""


class Agent:
    """An agent on a target that it holds; use it as a context manager, for `run` or `once`."""

    def __init__(self, settings: AgentSettings, log: Log, *, is_resident: bool) -> None:
        self._settings = settings
        self._log = log
        self._is_resident = is_resident
        self._lock = TargetLock(settings.target)
        self._events: queue.SimpleQueue[ev.Event] = queue.SimpleQueue()
        self._work: queue.SimpleQueue[ev.Job | None] = queue.SimpleQueue()
        self._haste = Haste.NONE
        self._job_began: float | None = None
        self._is_fresh = False
        self._is_over = False
        self._saved: Ledger | None = None
        self._answers: list[tuple[Request, str]] = []
        self._server: MetricsServer | None = None
        self._show_at: float | None = None

    def __enter__(self) -> Self:
        settings = self._settings
        try:
            make_folder(settings.target)
        except OSError as error:
            raise DeliveryError(
                f'cannot create "{settings.target}": {error.strerror or error}'
            ) from error
        notes = check_place(settings.target)
        self._lock.take()
        try:
            self._open(notes)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._work.put(None)
        self._source.close()
        self._endpoints.close()
        if self._server is not None:
            self._server.close()
        self._lock.release()

    def _open(self, notes: tuple[str, ...]) -> None:
        settings = self._settings
        try:
            make_folder(settings.state)
            self._inbox = Inbox(settings.state)
            self._inbox.prepare()
        except OSError as error:
            raise DeliveryError(
                f'cannot write into "{settings.state}": {error.strerror or error}'
            ) from error
        ledger, problem = load_ledger(settings.state, must_read=True)
        self._saved = None if problem else ledger
        self.store = Generations(settings.state, settings.node)
        self.store.prepare()
        self._source = open_source(settings, self.store.file)
        self._endpoints = Endpoints(
            settings, self.store, self._on_health if self._is_resident else None
        )
        self._jobs = Jobs(settings, self.store, self._source, lambda: self._haste, self._endpoints)
        self._jobs.probe.remember_address(ledger.admin)
        self._reporter = Reporter(settings, self._log, self.store, is_resident=self._is_resident)
        self._notes = notes
        for note in notes:
            self._log.warn("doubtful place", note=note)
        if problem:
            self._log.warn("memory lost", file=str(settings.state / "ledger.json"), reason=problem)
        rhythm = Rhythm(
            poll=settings.poll,
            quiet=settings.quiet,
            longest_quiet=settings.longest_quiet,
            probe=settings.probe,
        )
        self.state = State(rhythm=rhythm, ledger=ledger, is_unconfirmed_mode=settings.unconfirmed)

    # --- the two ways to use it ---------------------------------------------------------------

    def run(self) -> int:
        """Run until told to stop; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hangup)
        self._serve_metrics()
        self._start()
        problem = self._source.watch(self._on_source)
        if problem:
            self._log.warn("polling", reason=problem, every=self._settings.poll)
        self._loop()
        notify(STOPPING="1", STATUS="stopping")
        self._log.info("stopped", generation=short(self.state.ledger.good or "") or None)
        return 0

    def once(self, *requests: ev.RollbackAsked) -> Verdict:
        """Do what is to be done now, and say what came of it."""
        self._start()
        for request in requests:
            self._take(request)
        while True:
            verdict = verdict_of(self.state, is_fresh=self._is_fresh, is_following=not requests)
            if verdict is not None:
                return verdict
            self._next()

    def _start(self) -> None:
        threading.Thread(target=self._worker, name="worker", daemon=True).start()
        self._log.info(
            "started",
            node=self._settings.node,
            source=self._settings.source,
            target=str(self._settings.target),
            pid=os.getpid(),
        )
        self._take(self._jobs.started(self.state.ledger.good))
        if self._endpoints.described() and not self._is_resident:
            self._take(ev.HealthChanged(at=time.monotonic()))  # nobody will say so later

    def _loop(self) -> None:
        watchdog_s = watchdog_interval_s()
        next_ping = 0.0
        is_ready = False
        while not self._is_over:
            self._next()
            for request in self._inbox.take():
                self._serve(request)
            self._answer()
            if not is_ready and (self.state.is_up is not None or self.state.is_unconfirmed_mode):
                is_ready = True
                notify(READY="1")
            now = time.monotonic()
            if watchdog_s is not None and now >= next_ping and not self._is_stuck(now):
                next_ping = now + watchdog_s
                notify(WATCHDOG="1")

    def _next(self) -> None:
        now = time.monotonic()
        due = [one for one in (wake_at(self.state), self._show_at) if one is not None]
        wait = min(_TICK_S, max(0.0, min(due, default=now + _TICK_S) - now))
        try:
            event = self._events.get(timeout=wait) if wait else self._events.get_nowait()
        except queue.Empty:
            event = ev.Ticked(at=time.monotonic())
        self._take(event)

    def _is_stuck(self, now: float) -> bool:
        return self._job_began is not None and now - self._job_began > _LONGEST_JOB_S

    # --- events in, actions out ---------------------------------------------------------------

    def _take(self, event: ev.Event) -> None:
        before = self.state
        if not isinstance(event, ev.Ticked) and not self._lock.is_in_place():
            self._moved_away()
        self.state, actions = step(before, event)
        if isinstance(event, ev.Delivered) and not event.is_accepted:
            self._is_fresh = True
        self._reporter.saw(event, before, self.state)
        failure = self._save()
        if isinstance(event, ev.Delivered):
            # Before the next job begins: what a fetch is just writing would be taken for old.
            self._forget()
        for action in actions:
            if isinstance(action, ev.Deliver):
                if failure is not None:
                    # Not begun: nobody would know after a crash that it had to be ended.
                    self._take(failure)
                    return
                self._show()  # Whoever looks finds it said before anything moves.
            self._act(action)
        if isinstance(self.state.job, ev.Check):
            # Over in a moment, as a rule, and then nobody has waited for this to be said.
            self._show_at = self._show_at or event.at + _SHOW_AFTER_S
        elif self.state is not before or not isinstance(event, ev.Ticked):
            self._show()
        if self._show_at is not None and event.at >= self._show_at:
            self._show()

    def _show(self) -> None:
        """Bring the status up to date."""
        self._show_at = None
        reason = self._source.unwatched
        polled = (f"the source is polled: {reason}",) if reason else ()
        self._reporter.shown.notes = self._notes + polled
        self._reporter.show(self.state, self._jobs)

    def _act(self, action: ev.Action) -> None:
        match action:
            case ev.Hurry():
                self._haste = max(self._haste, action.haste)
            case ev.Stop():
                self._is_over = True
            case _:
                self._haste = Haste.NONE
                self._jobs.probe.good = self.state.ledger.good
                self._job_began = time.monotonic()
                self._work.put(action)

    def _save(self) -> ev.Failed | None:
        """Write the ledger down if it has changed; returns what stands in the way."""
        ledger = self.state.ledger
        if ledger == self._saved:
            return None
        try:
            save_ledger(self._settings.state, ledger)
        except DeliveryError as error:
            self._log.error("memory not written", reason=error.message)
            return ev.Failed(
                at=time.monotonic(),
                generation=ledger.intent or "",
                reason=error.message,
                hint=error.hint or "",
            )
        self._saved = ledger
        return None

    def _forget(self) -> None:
        needed = self.state.ledger.needed() | ({self.state.latest} - {None})
        with contextlib.suppress(DeliveryError):  # next time
            self.store.prune(self._settings.keep, {name for name in needed if name})

    def _moved_away(self) -> None:
        """The directory is another one of the same name: hold that one too, and say so."""
        with contextlib.suppress(OSError, DeliveryError):
            make_folder(self._settings.target)
            self._lock.release()
            self._lock.take()
            make_folder(self._settings.state)
            self._inbox.prepare()
            self.store.prepare()
            self._saved = None
            self._events.put(ev.TargetReplaced(at=time.monotonic()))
            if self._server is not None:
                self._server.close()  # Its socket lies in the old directory.
                self._serve_metrics()

    # --- the worker ---------------------------------------------------------------------------

    def _worker(self) -> None:
        while (job := self._work.get()) is not None:
            event = do_job(self._jobs, job, self._log)
            self._job_began = None
            self._events.put(event)
            if isinstance(event, ev.Passed):
                look_ahead(self._jobs, event.generation, self._log)

    # --- from outside -------------------------------------------------------------------------

    def _on_stop(self, _number: int, _frame: Any) -> None:
        self._events.put(ev.StopAsked(at=time.monotonic()))

    def _on_hangup(self, _number: int, _frame: Any) -> None:
        self._on_source(time.monotonic())

    def _on_source(self, at: float) -> None:
        self._events.put(ev.SourceChanged(at=at))

    def _on_health(self, at: float) -> None:
        self._events.put(ev.HealthChanged(at=at))

    def _serve(self, request: Request) -> None:
        """Take a request of an operator in; rollback is answered when it is done."""
        at = time.monotonic()
        given = request.arguments
        try:
            match request.command:
                case "pause":
                    reason = str(given.get("reason") or "paused by an operator")
                    self._take(ev.PauseAsked(at=at, reason=reason))
                case "resume":
                    self._take(ev.ResumeAsked(at=at))
                case "allow":
                    generation = allow_target(
                        self.state.ledger,
                        self.state.waiting(),
                        self.store,
                        str(given.get("generation", "")),
                    )
                    self._take(ev.AllowAsked(at=at, generation=generation))
                case _:
                    wanted = rollback_target(
                        self.state.ledger, self.store, str(given.get("generation", ""))
                    )
                    self._take(rollback_asked(wanted))
                    self._answers.append((request, wanted))
                    return
        except DeliveryError as error:
            self._inbox.answer(request, ok=False, text=error.message, hint=error.hint)
            return
        self._show()  # Whoever is answered may look at once.
        self._inbox.answer(request, ok=True, text=request.command)

    def _answer(self) -> None:
        """Answer those whose rollback is over."""
        for request, wanted in list(self._answers):
            ledger = self.state.ledger
            if ledger.wanted == wanted and self.state.delivery_problem is None:
                continue
            is_done = ledger.good == wanted and ledger.wanted is None
            problem = self.state.delivery_problem
            refused = ledger.quarantine.get(wanted)
            text = "it runs" if is_done else "it does not run"
            if not is_done and refused is not None:
                text = refused.reason
            elif not is_done and problem is not None:
                text = f"{problem.text}; the agent goes on trying"
            self._inbox.answer(request, ok=is_done, text=text, generation=wanted)
            self._answers.remove((request, wanted))

    def _serve_metrics(self) -> None:
        told = self._settings.metrics
        if told == "none":
            return
        place = str(self._settings.state / "metrics.sock")
        if not told and len(os.fsencode(place)) > _MAX_PATH:
            self._log.warn("no metrics", reason=f'"{place}" is too long for a socket')
            return
        address = metrics_address(told) if told else AdminAddress(place)
        metrics = self._reporter.metrics
        self._server = MetricsServer(address, lambda: metrics.render(STATES))
