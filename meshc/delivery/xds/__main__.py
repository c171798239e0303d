"""The process of one worker among several, started by `meshc serve --workers`."""

from __future__ import annotations

import sys

from meshc.delivery.log import Log
from meshc.delivery.xds.process.handover import read
from meshc.delivery.xds.process.main import run
from meshc.diagnostics.errors import MeshcError

_WORLD = 3


def main() -> int:
    """Serve with the settings that come from standard input, until it ends or a signal comes."""
    name, settings = read(sys.stdin.buffer)
    try:
        return run(settings, worker=name)
    except MeshcError as error:
        log = Log(is_json=settings.log == "json", worker=name)
        log.error("cannot serve", reason=error.message, hint=error.hint)  # noqa: TRY400, our log
        return _WORLD


if __name__ == "__main__":
    sys.exit(main())
