"""The agent's work: fetch, check, deliver, look.  Every job ends in exactly one event.

A job may take as long as Envoy takes to drain, so it runs on a thread of its own, one at a time.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from meshc.artifact.manifest import origin_of
from meshc.artifact.store import NodeBundle
from meshc.delivery.agent import events as ev
from meshc.delivery.agent.configuration import read_configuration
from meshc.delivery.agent.deliver import deliver
from meshc.delivery.agent.endpoints import told_shortly
from meshc.delivery.agent.generations import Generation, Generations, digests_of, generation_of
from meshc.delivery.agent.guard import Bounds, check_size, check_whole, size_of, sizes
from meshc.delivery.agent.host_files import traces_of, why_not_startable
from meshc.delivery.agent.inotify import RoomMemory
from meshc.delivery.agent.ledger import Refusal
from meshc.delivery.agent.probe import EnvoyProbe
from meshc.delivery.agent.sources import SourceError
from meshc.delivery.agent.swap import read_files
from meshc.delivery.agent.unconfirmed import deliver_unconfirmed
from meshc.delivery.agent.validation import Validator, Verdict
from meshc.delivery.errors import DeliveryError, EnvoyGoneError, RefusedError
from meshc.delivery.materialize import materialize
from meshc.diagnostics.errors import MeshcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.delivery.agent.endpoints import Endpoints
    from meshc.delivery.agent.haste import Haste
    from meshc.delivery.agent.settings import AgentSettings
    from meshc.delivery.agent.sources import Source

_SHOWN_RESOURCES = 3
_ROUTES = "rds-"


@dataclass(slots=True)
class Facts:
    """What jobs have learnt and nobody decides upon; shown by status."""

    validation: str = ""


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
        self._at_hand: tuple[Generation, NodeBundle] | None = None
        self._is_stored = True
        self._room = RoomMemory()
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
            generation = generation_of(digests_of(bundle.files))
            if generation != job.known:
                self._is_stored = False
                self._store.add(bundle, fetched=time.time())
                self._at_hand = (generation, bundle)
            self._is_stored = True
            return self._fetched(generation)
        except MeshcError as error:
            return ev.FetchFailed(
                at=time.monotonic(),
                reason=error.message,
                hint=error.hint or "",
                is_incomplete=isinstance(error, SourceError) and error.is_incomplete,
                luck=_luck(),
            )

    def _fetched(self, generation: str) -> ev.Fetched:
        return ev.Fetched(
            at=time.monotonic(),
            generation=generation,
            order=self._source.order,
            clock_ms=int(time.time() * 1000),
        )

    def _check(self, job: ev.Check) -> ev.Event:
        bundle = self._bundle(job.generation)
        if bundle is None:
            return ev.Lost(at=time.monotonic(), generation=job.generation)
        try:
            new = check_whole(bundle, self._settings.node)
            chosen = self._endpoints.of(bundle)
        except DeliveryError as error:
            return self._rejected(job.generation, Refusal(reason=error.message, at=time.time()))
        bounds = Bounds(
            max_shrink=self._settings.max_shrink,
            max_growth=self._settings.max_growth,
            may_shrink=self._settings.allow_shrink or job.is_allowed,
            may_be_empty=self._settings.allow_empty or job.is_allowed,
        )
        # Builds are compared: how many endpoints health leaves of them is another matter.
        there = self._endpoints.as_built(read_files(self._target), self.probe.good)
        before = sizes(there, origin=f'"{self._target}"')
        reason = check_size(before, size_of(new), bounds)
        if reason is not None:
            return ev.Held(at=time.monotonic(), generation=job.generation, reason=reason)
        return self._validated(job.generation, bundle, chosen)

    def _validated(self, generation: str, bundle: NodeBundle, chosen: NodeBundle) -> ev.Event:
        verdict = self._validator.judge(chosen)
        said = "refused: " if verdict.is_accepted is False else ""
        self.facts.validation = "accepted" if verdict.is_accepted else said + verdict.reason
        if verdict.is_accepted is False and self._endpoints.refuse(verdict.path, bundle):
            return self._failed(generation, DeliveryError(_refusal_of(verdict, bundle).reason))
        if verdict.is_accepted is False:
            return self._rejected(generation, _refusal_of(verdict, bundle))
        if verdict.is_accepted is None and self._settings.require_validation:
            return ev.Failed(
                at=time.monotonic(),
                generation=generation,
                reason=f"nothing is delivered without local validation: {verdict.reason}",
                hint="install an envoy beside the agent, or drop --require-validation",
                luck=_luck(),
            )
        return ev.Passed(at=time.monotonic(), generation=generation)

    def _deliver(self, job: ev.Deliver) -> ev.Event:
        bundle = self._bundle(job.generation)
        if bundle is None:
            return ev.Lost(at=time.monotonic(), generation=job.generation)
        try:
            return self._delivered(job, self._endpoints.of(bundle))
        except RefusedError as error:
            # Endpoints of the moment say nothing about the build; it is tried with those before.
            if not error.is_answer or self._endpoints.refuse(error.path, bundle):
                return self._failed(job.generation, error)
            return self._rejected(
                job.generation, refusal_of(error, bundle), is_restored=error.is_restored
            )
        except EnvoyGoneError as error:
            return self._take_back(job, error)
        except DeliveryError as error:
            return self._failed(job.generation, error)

    def _delivered(self, job: ev.Deliver, bundle: NodeBundle) -> ev.Delivered:
        files = read_files(self._target)
        admin = ""
        if why_not_startable(files, self._settings.node):
            return self._lay_out(job.generation, bundle)
        old = read_configuration(files, origin=f'"{self._target}"')
        new = read_configuration(bundle.files, origin=f'the bundle of "{bundle.node}"')
        if not self._settings.unconfirmed:
            self._room.check(old, new)
        if self._settings.unconfirmed:
            result = deliver_unconfirmed(
                bundle,
                self._target,
                wait_s=self._settings.unconfirmed_wait,
                haste=self._haste,
            )
        else:
            asked = self.probe.admin(old.bootstrap)
            admin = str(asked.address)
            info = self.probe.info_of(asked)
            result = deliver(bundle, self._target, admin=asked, info=info, haste=self._haste)
        self._remember(job.generation, bundle, is_exact=not result.left_clusters)
        return ev.Delivered(
            at=time.monotonic(),
            generation=job.generation,
            is_accepted=not self._settings.unconfirmed,
            is_untidy=bool(result.left_clusters),
            needs_restart=result.needs_restart,
            has_changed=result.has_changed,
            endpoints=told_shortly(self._endpoints.described(), result.written),
            admin=admin,
        )

    def _lay_out(self, generation: str, bundle: NodeBundle) -> ev.Delivered:
        """Put files where no Envoy could have been started so far."""
        materialize(bundle, self._target)
        self._remember(generation, bundle, is_exact=True)
        return ev.Delivered(at=time.monotonic(), generation=generation, is_accepted=False)

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
        self._remember(job.fallback, bundle, is_exact=True)
        return ev.Undone(at=time.monotonic(), generation=job.fallback)

    def _remember(self, generation: str, bundle: NodeBundle, *, is_exact: bool) -> None:
        self._at_hand = None
        self._endpoints.delivered()
        traces = traces_of(self._target)
        if is_exact:
            self.probe.expect(generation, traces, bundle.files)
        else:
            self.probe.expect(None, traces)

    def _bundle(self, generation: str) -> NodeBundle | None:
        if self._at_hand is not None and self._at_hand[0] == generation:
            return self._at_hand[1]
        return self._store.load(generation)

    def _rejected(self, generation: str, refusal: Refusal, *, is_restored: bool = True) -> ev.Event:
        self._at_hand = None
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


def refusal_of(error: RefusedError, bundle: NodeBundle) -> Refusal:
    """Say what was refused, and which line of which spec is behind it."""
    names = error.resources or ((_resource_in(error.path),) if _resource_in(error.path) else ())
    return Refusal(
        reason=error.message,
        path=error.path,
        resource=", ".join(names[:_SHOWN_RESOURCES]),
        place=_place(bundle, names),
        at=time.time(),
    )


def _refusal_of(verdict: Verdict, bundle: NodeBundle) -> Refusal:
    name = verdict.resource or _resource_in(verdict.path)
    return Refusal(
        reason=f'this host\'s Envoy refuses "{name or verdict.path}": {verdict.reason}',
        path=verdict.path,
        resource=name,
        place=_place(bundle, (name,)),
        at=time.time(),
    )


def _place(bundle: NodeBundle, names: tuple[str, ...]) -> str:
    places = (origin_of(bundle.origins, bundle.node, name) for name in names)
    return next((place for place in places if place), "")


def _resource_in(path: str) -> str:
    """Return the one resource of a shared file: ``services/app/rds-outbound@front.json``."""
    _, _, rest = path.partition("/")
    service, _, name = rest.partition("/")
    if not name.startswith(_ROUTES):
        return service
    direction, _, caller = name.removeprefix(_ROUTES).removesuffix(".json").partition("@")
    return f"{direction}/{service}" + (f"@{caller}" if caller else "")


def _luck() -> float:
    return random.random()  # noqa: S311, only keeps hosts from coming all at once
