"""An agent that is stopped for long while the source goes on; then it goes on too.

That happens to a host whose memory is short, to a machine that is moved, and to whoever presses
the wrong key.  Envoy serves on meanwhile; afterwards the agent takes one step to the newest
generation, and what it was in the midst of when it was stopped is ended first.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.load.host import wait_until
from tests.campaigns.load.scene import Scene
from tests.campaigns.report import Report
from tests.delivery.live import get

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE, BUSY = "while it had nothing to do", "in the midst of a delivery"
_NETWORK = "127.0.49"
_PER_SECOND = 4.0
_LEAST_PER_SECOND = 2.0
_BUSY_SHARE = 0.1
_ATTEMPTS = 20


def run(*, minutes: float, seed: int) -> Report:
    """Stop it for so long while it has nothing to do, and for a tenth of it while it delivers."""
    times = {IDLE: minutes * 60, BUSY: minutes * 60 * _BUSY_SHARE}
    return freeze(times, seed=seed, least_per_second=_LEAST_PER_SECOND)


def freeze(
    times: dict[str, float],
    *,
    seed: int,
    per_second: float = _PER_SECOND,
    least_per_second: float = 0.0,
    number: signal.Signals = signal.SIGSTOP,
) -> Report:
    """Stop it for so many seconds at each of these moments; ``number`` is how."""
    report = Report(name="freeze", seed=seed)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshc-freeze-")))
        scene = Scene(folder, stack, random.Random(seed), network=_NETWORK)
        try:
            for moment, seconds in times.items():
                (_stop_at_rest if moment == IDLE else _stop_at_work)(scene, number)
                published = _go_on_without(scene, report, seconds, per_second)
                if published < max(2, seconds * least_per_second):
                    report.violated(f"too little was done: {published} generations, {moment}")
                _catch_up(scene, report, moment, published)
        except (AssertionError, OSError, http.client.HTTPException) as error:
            report.violated(f"the run ended early: {error}")
        scene.conclude(report)
    return report


def _stop_at_rest(scene: Scene, number: signal.Signals) -> None:
    scene.agent.await_confirmed(scene.published)
    scene.agent.signal(number)


def _stop_at_work(scene: Scene, number: signal.Signals) -> None:
    """Change something, and stop the agent once it has begun with that and not ended it."""
    for _ in range(_ATTEMPTS):
        scene.agent.await_confirmed(scene.published)
        scene.change()
        scene.publish()
        wait_until(scene.agent.has_begun, "a delivery that has begun", pause_s=0.001)
        scene.agent.signal(number)
        if scene.agent.has_begun():
            return
        scene.agent.signal(signal.SIGCONT)
    raise TimeoutError("no delivery lasts long enough to be stopped in")


def _go_on_without(scene: Scene, report: Report, seconds: float, per_second: float) -> int:
    """Publish one generation after the other; returns how many."""
    delivered = _delivered(scene)
    is_served = _served(scene)
    published = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        due = time.monotonic() + 1 / per_second
        scene.change()
        scene.publish()
        published += 1
        if not is_served():
            report.violated("Envoy did not serve while the agent was stopped")
        scene.empty_logs()
        time.sleep(max(0.0, due - time.monotonic()))
    report.count("seconds stopped", round(seconds))
    report.count("generations published meanwhile", published)
    if more := _delivered(scene) - delivered:
        report.violated(f"it was not stopped: {more} deliveries meanwhile")
    return published


def _served(scene: Scene) -> Callable[[], bool]:
    """How to ask for what has nothing to do with any change."""
    return lambda: get(scene.places.ingress) == "front"


def _catch_up(scene: Scene, report: Report, moment: str, published: int) -> None:
    """Let it go on, and see how it comes to the newest generation."""
    before = _delivered(scene)
    begun = time.monotonic()
    scene.agent.signal(signal.SIGCONT)
    scene.agent.await_confirmed(scene.published)
    seconds = time.monotonic() - begun
    steps = _delivered(scene) - before
    report.count("generations skipped", published - 1)
    report.count("deliveries afterwards", steps)
    report.notes.append(
        f"stopped {moment}: {published} generations later it took {steps} deliveries and "
        f"{seconds:.2f} s to the newest"
    )
    most = 1 if moment == IDLE else 2  # the one that it was at, too
    if not 1 <= steps <= most:
        report.violated(f"{steps} deliveries instead of {most}, after it was stopped {moment}")
    scene.look(report)


def _delivered(scene: Scene) -> int:
    return sum(word["event"] == "delivered" for word in scene.agent.words())
