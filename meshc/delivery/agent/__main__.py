"""The resident process: `meshc agent run` reads the command line and then becomes this one.

A process that lives for years should not carry what only its first second needed; leaving out
the command line and OpenSSL's hashes saves 6 of 26 MiB.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from meshc.delivery.agent.settings import AgentSettings

HEAP = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "262144"}
"""How glibc keeps the heap of a process that lives for years: one for all threads, because each
thread's own would keep what it was once given; and large tables never in it, so that they go back
whole when they are replaced.  Left alone, glibc takes them in once it has seen one go."""
_WORLD = 3


def become_resident(settings: AgentSettings) -> NoReturn:
    """Replace this process, keeping its number and what the service manager knows of it."""
    names = settings.__dataclass_fields__
    given = {name: getattr(settings, name) for name in names}
    text = json.dumps(given, default=str)
    environment = HEAP | os.environ
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(  # noqa: S606, this very interpreter
        sys.executable, [sys.executable, "-m", "meshc.delivery.agent", text], environment
    )


def main() -> int:
    """Run an agent with the settings in the first argument."""
    if any(importlib.util.find_spec(name) for name in ("_sha2", "_sha256")):
        # `hashlib` then takes Python's own SHA-256, and 3 MiB of OpenSSL stay away.
        sys.modules["_hashlib"] = None  # type: ignore[assignment]
    from meshc.delivery.agent.run import Agent  # noqa: PLC0415
    from meshc.delivery.agent.settings import AgentSettings  # noqa: PLC0415
    from meshc.delivery.log import Log  # noqa: PLC0415, after the line above
    from meshc.diagnostics.errors import MeshcError  # noqa: PLC0415

    given = json.loads(sys.argv[1])
    for name in ("target", "state"):
        given[name] = Path(given[name])
    settings = AgentSettings(**given)
    sys.setswitchinterval(0.0005)
    log = Log(is_json=settings.log == "json")
    try:
        with Agent(settings, log, is_resident=True) as agent:
            return agent.run()
    except MeshcError as error:
        log.error("cannot run", reason=error.message, hint=error.hint)  # noqa: TRY400, our log
        return _WORLD


if __name__ == "__main__":
    sys.exit(main())
