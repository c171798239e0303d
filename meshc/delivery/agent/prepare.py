"""Before Envoy starts: make sure that what it will find is whole, and what it accepted last."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from meshc.delivery.agent.durable import make_folder
from meshc.delivery.agent.endpoints import Endpoints
from meshc.delivery.agent.generations import Generations, digests_of, generation_of, short
from meshc.delivery.agent.guard import Bounds, check_size, check_whole, size_of
from meshc.delivery.agent.host_files import why_not_startable
from meshc.delivery.agent.ledger import Ledger, load_ledger, save_ledger
from meshc.delivery.agent.lock import TargetLock, check_place, owner_of
from meshc.delivery.agent.order import why_doubtful
from meshc.delivery.agent.sources import open_source
from meshc.delivery.agent.swap import read_files
from meshc.delivery.agent.validation import Validator
from meshc.delivery.errors import DeliveryError
from meshc.delivery.materialize import materialize

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.settings import AgentSettings

_PAUSE_S = 0.05


def prepare(settings: AgentSettings, *, wait_s: float = 30.0) -> str:
    """Make the target fit for a start of Envoy; returns what was found or done.

    A running agent is given time to finish; without one, what a killed one had begun is taken
    back, and an empty target is filled from the source.

    Raises:
        DeliveryError: an Envoy would not start with what can be had, and why.
    """
    try:
        make_folder(settings.target)
    except OSError as error:
        raise DeliveryError(
            f'cannot create "{settings.target}": {error.strerror or error}'
        ) from error
    check_place(settings.target)
    if owner_of(settings.target) is not None:
        return _wait(settings, wait_s)
    with TargetLock(settings.target):
        return _prepare(settings)


def _wait(settings: AgentSettings, wait_s: float) -> str:
    """Wait for the agent that runs."""
    end = time.monotonic() + wait_s
    while True:
        reason = why_not_startable(read_files(settings.target), settings.node)
        ledger, _ = load_ledger(settings.state)
        if not reason and ledger.intent is None:
            return "whole; the agent looks after it"
        if time.monotonic() > end:
            if not reason:
                return "whole; the agent is still at work on it"
            raise DeliveryError(
                f"Envoy cannot start: {reason}, and the agent has not mended it in {wait_s:.0f} s",
                hint="see: meshc agent status",
            )
        time.sleep(_PAUSE_S)


def _prepare(settings: AgentSettings) -> str:
    ledger, _ = load_ledger(settings.state)
    store = Generations(settings.state, settings.node)
    reason = why_not_startable(read_files(settings.target), settings.node)
    if not reason and ledger.intent is None:
        return "whole"
    good = store.load(ledger.good) if ledger.good else None
    endpoints = Endpoints(settings, store)
    if good is not None and ledger.good is not None:
        materialize(endpoints.of(good), settings.target)
        endpoints.close()
        save_ledger(settings.state, _with(ledger, ledger.good))
        return f"put generation {short(ledger.good)} back, which Envoy ran last"
    if not reason:
        return "whole, though a delivery into it was cut off; the agent will end that"
    bundle, order = _first(settings, store.file, reason)
    chosen = endpoints.of(bundle)
    endpoints.close()
    _check(settings, bundle, chosen)
    ledger = _followed(ledger, generation_of(digests_of(bundle.files)), order)
    store.prepare()
    generation = store.add(bundle, fetched=time.time())
    save_ledger(settings.state, ledger)
    materialize(chosen, settings.target)
    save_ledger(settings.state, _with(ledger, generation, is_accepted=False))
    return f"laid generation {short(generation)} out"


def _with(ledger: Ledger, generation: str, *, is_accepted: bool | None = None) -> Ledger:
    return replace(
        ledger,
        good=generation,
        is_accepted=ledger.is_accepted if is_accepted is None else is_accepted,
        intent=None,
        wanted=None,
    )


def _followed(ledger: Ledger, generation: str, order: int | None) -> Ledger:
    """Remember how far publications were followed, before anything is done with this one."""
    if order is None:
        return ledger
    doubt = why_doubtful(
        order,
        generation,
        seen=ledger.order,
        seen_of=ledger.order_of,
        clock_ms=int(time.time() * 1000),
    )
    if doubt is not None:
        raise DeliveryError(
            f"Envoy is not given these files: {doubt}",
            hint="publish what is right once more (meshc publish … --again), or if this is it, "
            "start the agent and then: meshc agent allow " + short(generation),
        )
    return replace(ledger, order=max(order, ledger.order), order_of=generation)


def _first(
    settings: AgentSettings, held: Callable[[str], bytes | None], reason: str
) -> tuple[NodeBundle, int | None]:
    source = open_source(settings, held)
    try:
        bundle = source.fetch(None)
    except DeliveryError as error:
        raise DeliveryError(
            f"Envoy cannot start: {reason}; and there is nothing to mend it with: {error.message}",
            hint=error.hint,
        ) from error
    finally:
        source.close()
    assert bundle is not None  # noqa: S101, nothing was known
    return bundle, source.order


def _check(settings: AgentSettings, bundle: NodeBundle, chosen: NodeBundle) -> None:
    new = check_whole(bundle, settings.node)
    bounds = Bounds(may_be_empty=settings.allow_empty)
    if (held := check_size(None, size_of(new), bounds)) is not None:
        raise DeliveryError(
            f"Envoy is not given these files: {held}", hint="say --allow-empty if that is right"
        )
    verdict = Validator(settings.state, settings.envoy, limit_s=settings.validation_limit).judge(
        chosen
    )
    if verdict.is_accepted is False:
        raise DeliveryError(
            f'this host\'s Envoy refuses "{verdict.resource or verdict.path}": {verdict.reason}'
        )
    if verdict.is_accepted is None and settings.require_validation:
        raise DeliveryError(f"nothing is laid out without local validation: {verdict.reason}")
