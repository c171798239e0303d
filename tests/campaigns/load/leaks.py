"""The resident agent with a leak that is made on purpose; a soak must find each.

python -m tests.campaigns.load.leaks KIND[,KIND…] FLAGS OF meshc agent run
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from meshc.cli.main import run as run_command
from meshc.delivery.agent import __main__ as resident
from meshc.delivery.agent import events as ev
from meshc.delivery.agent.jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import Callable

_kept: list[Any] = []


def _remember(jobs: Jobs) -> None:
    """Keep what every file said that was ever delivered, as a cache without a bound would."""
    files = [path.read_bytes() for path in jobs._target.rglob("*.json")]
    _kept.append([(data, json.loads(data)) for data in files])


def _leave_open(jobs: Jobs) -> None:
    """Open the target once for each delivery, and never close it."""
    _kept.append(os.open(jobs._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def _wait_for_ever(_jobs: Jobs) -> None:
    """Start a thread for each delivery that waits for something that never comes."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()


LEAKS: dict[str, Callable[[Jobs], None]] = {
    "memory": _remember,
    "descriptors": _leave_open,
    "threads": _wait_for_ever,
}


def program_with(*leaks: str) -> tuple[str, ...]:
    """Return how an agent with these leaks is started, in the place of `meshc agent run`."""
    return (sys.executable, "-m", "tests.campaigns.load.leaks", ",".join(leaks))


def _leak(kinds: str) -> None:
    really = Jobs.run

    def run(self: Jobs, job: ev.Job) -> ev.Event:
        if isinstance(job, ev.Deliver):
            for kind in kinds.split(","):
                LEAKS[kind](self)
        return really(self, job)

    Jobs.run = run  # type: ignore[method-assign]


def main() -> NoReturn:
    """Read the command line as `meshc agent run` does, then become the resident process."""
    kinds, first, *rest = sys.argv[1:]
    if first.startswith("{"):  # settings, from the same program a moment before
        _leak(kinds)
        sys.argv = [sys.argv[0], first]
        sys.exit(resident.main())
    really = os.execve

    def execve(path: Any, argv: Any, env: Any) -> NoReturn:
        really(path, [*program_with(kinds), argv[-1]], env)

    os.execve = execve
    sys.exit(run_command(["agent", "run", first, *rest]))


if __name__ == "__main__":
    main()
