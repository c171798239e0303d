"""The process of `meshc serve`: event loop, signals, log lines, systemd."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from typing import TYPE_CHECKING

from meshc.delivery.log import Log
from meshc.delivery.notify import notify
from meshc.delivery.xds.content.library import Library
from meshc.delivery.xds.content.source import open_source
from meshc.delivery.xds.process.control import ServerPages, serve_control
from meshc.delivery.xds.process.records import take_records
from meshc.delivery.xds.process.reporting import Reporter, serving_on
from meshc.delivery.xds.process.run import Serving
from meshc.proto import known_versions, load_schema

if TYPE_CHECKING:
    from meshc.delivery.xds.settings import ServeSettings

_OBJECTS = 100_000
"""Objects between two looks for cycles.  With Python's own 700, looking through thousands of
streams and their resources again and again is a third of what a push costs."""


def run(settings: ServeSettings, *, worker: str = "") -> int:
    """Serve until a signal comes; return the exit code.

    ``worker`` is the name of one among several, who ends also when its standard input does.

    Raises:
        MeshcError: it cannot begin.
    """
    gc.set_threshold(_OBJECTS)
    try:
        import uvloop  # noqa: PLC0415, only here
    except ImportError:
        return asyncio.run(_serve(settings, worker))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, worker))


async def _serve(settings: ServeSettings, worker: str) -> int:
    journal = Log(is_json=settings.log == "json", worker=worker or None)
    take_records(journal)
    library = Library(load_schema(known_versions()[-1]))
    serving = Serving(settings, open_source(settings, library))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, ended.set)
    loop.add_signal_handler(signal.SIGHUP, serving.look)
    if worker:
        _end_with_parent(loop, ended)
    await serving.start()
    control = None
    if settings.control is not None:
        control = await serve_control(ServerPages(serving), settings.control)
    bundles = serving.bundles
    journal.info(
        "serving",
        listen=str(settings.listen),
        mesh=None if bundles is None else bundles.mesh,
        generation=None if bundles is None else bundles.generation[:12],
        tls=settings.tls is not None,
    )
    notify(READY="1", STATUS=serving_on(settings))
    watcher = asyncio.create_task(Reporter(serving, journal).run())
    await ended.wait()
    notify(STOPPING="1")
    journal.info("ending", streams=len(serving.hub))
    watcher.cancel()
    if control is not None:
        control.close()
    await serving.stop()
    return 0


def _end_with_parent(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """End when standard input does, of which nothing more comes."""
    pipe = sys.stdin.fileno()

    def end() -> None:
        loop.remove_reader(pipe)
        ended.set()

    loop.add_reader(pipe, end)
