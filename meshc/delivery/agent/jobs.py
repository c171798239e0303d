"""The agent's work: fetch, check, deliver, look.  Every job ends in exactly one event.

A job may take as long as Envoy takes to drain, so it runs on a thread of its own, one at a time.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, assert_never

from meshc.artifact.store import NodeBundle
from meshc.delivery.agent import events as ev
from meshc.delivery.agent.deliver import deliver
from meshc.delivery.agent.endpoints import told_shortly
from meshc.delivery.agent.generations import Generations, digests_of, generation_of
from meshc.delivery.agent.guard import Bounds, check_size, check_whole, size_of, sizes
from meshc.delivery.agent.host_files import traces_of, why_no_start, why_not_startable
from meshc.delivery.agent.inotify import RoomMemory
from meshc.delivery.agent.ledger import Refusal
from meshc.delivery.agent.outset import lying_in, survey
from meshc.delivery.agent.probe import EnvoyProbe
from meshc.delivery.agent.refusals import refusal_by, refusal_of
from meshc.delivery.agent.sources import SourceError
from meshc.delivery.agent.swap import read_files
from meshc.delivery.agent.unconfirmed import deliver_unconfirmed
from meshc.delivery.agent.validation import Validator
from meshc.delivery.errors import DeliveryError, EnvoyGoneError, RefusedError
from meshc.delivery.materialize import materialize
from meshc.diagnostics.errors import MeshcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.delivery.agent.configuration import Configuration
    from meshc.delivery.agent.deliver import DeliveryResult
    from meshc.delivery.agent.endpoints import Endpoints
    from meshc.delivery.agent.guard import Size
    from meshc.delivery.agent.haste import Haste
    from meshc.delivery.agent.outset import Lying, Outset
    from meshc.delivery.agent.settings import AgentSettings
    from meshc.delivery.agent.sources import Source


@dataclass(slots=True)
class Facts:
    """What jobs have learnt and nobody decides upon; shown by status."""

    validation: str = ""


@dataclass(slots=True)
class _Candidate:
    """A generation on its way from the source to Envoy, with what has been read for it so far.

    ``chosen`` is the bundle with endpoints of some moment, and ``new`` and ``outset`` are about it.
    """

    generation: str
    bundle: NodeBundle
    chosen: NodeBundle
    new: Configuration | None = None
    lying: Lying | None = None
    outset: Outset | None = None


class Jobs:
    """Does one job at a time."""

    def __init__(
        self,
        settings: AgentSettings,
        store: Generations,
        source: Source,
        haste: Callable[[], Haste],
        endpoints: Endpoints,
    ) -> None:
        self._settings = settings
        self._target = settings.target
        self._store = store
        self._source = source
        self._haste = haste
        self._endpoints = endpoints
        self._validator = Validator(
            settings.state, settings.envoy, limit_s=settings.validation_limit
        )
        self._at_hand: _Candidate | None = None
        self._is_stored = True
        self._room = RoomMemory(self._target)
        self.probe = EnvoyProbe(settings, lambda files: endpoints.as_built(files, self.probe.good))
        self.facts = Facts()

    def started(self, good: str | None) -> ev.Started:
        """Look at what an earlier process, or somebody's hand, has left behind."""
        files = read_files(self._target)
        is_whole = not why_not_startable(files, self._settings.node)
        adopted = None
        if good is None and is_whole:
            # So that there is something to go back to, whatever is delivered first.
            bundle = NodeBundle(node=self._settings.node, generation="found here", files=files)
            adopted = self._store.add(bundle, fetched=time.time())
        self._endpoints.take_up(good)
        return ev.Started(at=time.monotonic(), is_whole=is_whole, adopted=adopted)

    def endpoints(self) -> list[dict[str, Any]]:
        """Say what is used of each dependency that follows health."""
        return self._endpoints.described()

    def run(self, job: ev.Job) -> ev.Event:
        """Do a job."""
        match job:
            case ev.Fetch():
                return self._fetch(job)
            case ev.Check():
                return self._check(job)
            case ev.Deliver():
                return self._deliver(job)
            case ev.Probe():
                seen = self.probe.look()
                self._room.refresh()
                return seen
            case _:
                assert_never(job)

    def _fetch(self, job: ev.Fetch) -> ev.Event:
        try:
            # A source tells news once; where they could not be stored it is asked for all of them.
            bundle = self._source.fetch(job.known if self._is_stored else None)
            if bundle is None:
                assert job.known is not None  # noqa: S101, the contract of a source
                return self._fetched(job.known)
            digests = digests_of(bundle.files)
            generation = generation_of(digests)
            if generation != job.known:
                self._is_stored = False
                self._store.add(bundle, fetched=time.time(), digests=digests)
                self._at_hand = _Candidate(generation, bundle, bundle)
            self._is_stored = True
            return self._fetched(generation, bundle.generation)
        except MeshcError as error:
            return ev.FetchFailed(
                at=time.monotonic(),
                reason=error.message,
                hint=error.hint or "",
                is_incomplete=isinstance(error, SourceError) and error.is_incomplete,
                luck=_luck(),
            )

    def _fetched(self, generation: str, build: str = "") -> ev.Fetched:
        return ev.Fetched(
            at=time.monotonic(),
            generation=generation,
            build=build,
            order=self._source.order,
            clock_ms=int(time.time() * 1000),
        )

    def _check(self, job: ev.Check) -> ev.Event:
        candidate = self._candidate(job.generation)
        if candidate is None:
            return ev.Lost(at=time.monotonic(), generation=job.generation)
        self._at_hand = None
        try:
            new = check_whole(candidate.bundle, self._settings.node)
            chosen = self._endpoints.of(candidate.bundle)
        except DeliveryError as error:
            return self._rejected(job.generation, Refusal(reason=error.message, at=time.time()))
        bounds = Bounds(
            max_shrink=self._settings.max_shrink,
            max_growth=self._settings.max_growth,
            may_shrink=self._settings.allow_shrink or job.is_allowed,
            may_be_empty=self._settings.allow_empty or job.is_allowed,
        )
        lying = lying_in(self._target)
        reason = check_size(self._size_as_built(lying), size_of(new), bounds)
        if reason is not None:
            return ev.Held(at=time.monotonic(), generation=job.generation, reason=reason)
        event = self._validated(job.generation, candidate.bundle, chosen)
        if isinstance(event, ev.Passed):
            is_own = chosen is candidate.bundle
            self._at_hand = replace(
                candidate, chosen=chosen, new=new if is_own else None, lying=lying
            )
        return event

    def _size_as_built(self, lying: Lying | None) -> Size | None:
        """Count what lies in the target; None where that cannot be read.

        Builds are compared: how many endpoints health leaves of them is another matter.
        """
        if lying is None:
            return None
        there = self._endpoints.as_built(lying.there.files, self.probe.good)
        if there is lying.there.files:
            return size_of(lying.there)
        return sizes(there, origin=f'"{self._target}"')

    def _validated(self, generation: str, bundle: NodeBundle, chosen: NodeBundle) -> ev.Event:
        verdict = self._validator.judge(chosen)
        said = "refused: " if verdict.is_accepted is False else ""
        self.facts.validation = "accepted" if verdict.is_accepted else said + verdict.reason
        if verdict.is_accepted is False and self._endpoints.refuse(verdict.path, bundle):
            return self._failed(generation, DeliveryError(refusal_by(verdict, bundle).reason))
        if verdict.is_accepted is False:
            return self._rejected(generation, refusal_by(verdict, bundle))
        if verdict.is_accepted is None and self._settings.require_validation:
            return ev.Failed(
                at=time.monotonic(),
                generation=generation,
                reason=f"nothing is delivered without local validation: {verdict.reason}",
                hint="install an envoy beside the agent, or drop --require-validation",
                luck=_luck(),
            )
        return ev.Passed(at=time.monotonic(), generation=generation)

    def look_ahead(self, generation: str) -> None:
        """Look at what a delivery will start from, before it may begin.

        There is time for that while the ledger is written down.  Whatever goes wrong, the delivery
        finds out itself.
        """
        candidate = self._at_hand
        if candidate is None or candidate.generation != generation or self._settings.unconfirmed:
            return
        lying = candidate.lying
        if lying is not None and not why_no_start(lying.there, self._settings.node):
            with suppress(DeliveryError):
                candidate.outset = self._survey(candidate, lying)
                self._room.look_ahead(candidate.outset.old, candidate.outset.new)

    def _survey(self, candidate: _Candidate, lying: Lying) -> Outset:
        admin = self.probe.admin(lying.there.bootstrap)
        return survey(
            candidate.chosen,
            self._target,
            lying=lying,
            new=candidate.new,
            admin=admin,
            info=self.probe.info_of(admin),
        )

    def _deliver(self, job: ev.Deliver) -> ev.Event:
        candidate = self._candidate(job.generation)
        if candidate is None:
            return ev.Lost(at=time.monotonic(), generation=job.generation)
        self._at_hand = None
        try:
            return self._delivered(job, self._chosen_now(candidate))
        except RefusedError as error:
            # Endpoints of the moment say nothing about the build; it is tried with those before.
            if not error.is_answer or self._endpoints.refuse(error.path, candidate.bundle):
                return self._failed(job.generation, error)
            return self._rejected(
                job.generation,
                refusal_of(error, candidate.bundle),
                is_restored=error.is_restored,
            )
        except EnvoyGoneError as error:
            return self._take_back(job, error)
        except DeliveryError as error:
            return self._failed(job.generation, error)

    def _chosen_now(self, candidate: _Candidate) -> _Candidate:
        """Return a candidate with the endpoints of the moment."""
        chosen = self._endpoints.of(candidate.bundle)
        if chosen.files == candidate.chosen.files:
            return candidate
        return _Candidate(candidate.generation, candidate.bundle, chosen)

    def _delivered(self, job: ev.Deliver, candidate: _Candidate) -> ev.Delivered:
        outset = candidate.outset
        if outset is None or not outset.holds(self._target):
            lying = lying_in(self._target)
            if lying is None or why_no_start(lying.there, self._settings.node):
                return self._lay_out(candidate)
            outset = None if self._settings.unconfirmed else self._survey(candidate, lying)
        if outset is None:
            return self._delivered_unasked(job, candidate)
        self._room.check(outset.old, outset.new)
        result = deliver(
            candidate.chosen, self._target, admin=outset.admin, outset=outset, haste=self._haste
        )
        if result.left_clusters:
            self._remember(None)
        else:
            self._remember(candidate.generation, outset.new)
        return self._told(job, result, admin=str(outset.admin.address))

    def _delivered_unasked(self, job: ev.Deliver, candidate: _Candidate) -> ev.Delivered:
        result = deliver_unconfirmed(
            candidate.chosen,
            self._target,
            wait_s=self._settings.unconfirmed_wait,
            haste=self._haste,
        )
        self._remember(None if result.left_clusters else candidate.generation)
        return self._told(job, result)

    def _told(self, job: ev.Deliver, result: DeliveryResult, *, admin: str = "") -> ev.Delivered:
        """Say what a delivery has done; without an admin interface nobody has accepted it."""
        return ev.Delivered(
            at=time.monotonic(),
            generation=job.generation,
            is_accepted=bool(admin),
            is_untidy=bool(result.left_clusters),
            needs_restart=result.needs_restart,
            has_changed=result.has_changed,
            endpoints=told_shortly(self._endpoints.described(), result.written),
            admin=admin,
        )

    def _lay_out(self, candidate: _Candidate) -> ev.Delivered:
        """Put files where no Envoy could have been started so far."""
        materialize(candidate.chosen, self._target)
        self._remember(candidate.generation)
        return ev.Delivered(at=time.monotonic(), generation=candidate.generation, is_accepted=False)

    def _take_back(self, job: ev.Deliver, error: EnvoyGoneError) -> ev.Event:
        """End a delivery that an earlier process began, under an Envoy that does not run."""
        if job.fallback is None:
            return self._failed(job.generation, error, is_gone=True)
        bundle = self._store.load(job.fallback)
        if bundle is None:
            return ev.Lost(at=time.monotonic(), generation=job.fallback)
        try:
            bundle = self._endpoints.of(bundle)
            materialize(bundle, self._target)
        except DeliveryError as problem:
            return self._failed(job.generation, problem)
        self._remember(job.fallback)
        return ev.Undone(at=time.monotonic(), generation=job.fallback)

    def _remember(self, generation: str | None, there: Configuration | None = None) -> None:
        """Take what lies in the target for right; None: it is no whole generation."""
        self._endpoints.delivered()
        self.probe.expect(generation, traces_of(self._target), there)

    def _candidate(self, generation: str) -> _Candidate | None:
        if self._at_hand is not None and self._at_hand.generation == generation:
            return self._at_hand
        bundle = self._store.load(generation)
        return None if bundle is None else _Candidate(generation, bundle, bundle)

    def _rejected(self, generation: str, refusal: Refusal, *, is_restored: bool = True) -> ev.Event:
        return ev.Rejected(
            at=time.monotonic(), generation=generation, refusal=refusal, is_restored=is_restored
        )

    def _failed(self, generation: str, error: DeliveryError, *, is_gone: bool = False) -> ev.Failed:
        return ev.Failed(
            at=time.monotonic(),
            generation=generation,
            reason=error.message,
            hint=error.hint or "",
            is_gone=is_gone,
            is_restored=error.is_restored,
            luck=_luck(),
        )


def _luck() -> float:
    return random.random()  # noqa: S311, only keeps hosts from coming all at once
