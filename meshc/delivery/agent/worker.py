"""What the working thread does, so that whatever goes wrong comes back as an event."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from meshc.delivery.agent import events as ev
from meshc.diagnostics.errors import MeshcError

if TYPE_CHECKING:
    from meshc.delivery.agent.jobs import Jobs
    from meshc.delivery.log import Log


def do_job(jobs: Jobs, job: ev.Job, log: Log) -> ev.Event:
    """Do a job."""
    try:
        return jobs.run(job)
    except MeshcError as error:
        reason, hint = error.message, error.hint or ""
    except Exception as error:  # noqa: BLE001, a worker that dies would leave the agent deaf
        reason = f"a mistake of meshc itself: {type(error).__name__}: {error}"
        hint = "please report it with the agent's log"
        log.error("internal error", job=type(job).__name__, reason=reason)  # noqa: TRY400, our log
    at = time.monotonic()
    match job:
        case ev.Fetch():
            return ev.FetchFailed(at=at, reason=reason, hint=hint)
        case ev.Probe():
            return ev.Probed(at=at, is_up=False, reason=reason)
        case _:
            return ev.Failed(
                at=at,
                generation=job.generation,
                reason=reason,
                hint=hint,
                is_restored=False,  # nobody knows how far it came
            )


def look_ahead(jobs: Jobs, generation: str, log: Log) -> None:
    """Look at what a delivery will start from, while its beginning is being written down."""
    try:
        jobs.look_ahead(generation)
    except Exception as error:  # noqa: BLE001, as above; the delivery will find it out itself
        reason = f"{type(error).__name__}: {error}"
        log.error("internal error", job="look ahead", reason=reason)  # noqa: TRY400, our log
