"""The process of `meshc serve`: event loop, signals, log lines, systemd."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from meshc.delivery.log import Log
from meshc.delivery.notify import notify, watchdog_interval_s
from meshc.delivery.xds.control import serve_control
from meshc.delivery.xds.library import Library
from meshc.delivery.xds.run import Serving
from meshc.delivery.xds.source import open_source
from meshc.delivery.xds.types import SHORT_NAMES
from meshc.proto import known_versions, load_schema

if TYPE_CHECKING:
    from meshc.delivery.xds.settings import ServeSettings
    from meshc.delivery.xds.types import TypeUrl

_LOOK_S = 1.0


def run(settings: ServeSettings) -> int:
    """Serve until a signal comes; return the exit code."""
    try:
        import uvloop  # noqa: PLC0415, only here
    except ImportError:
        return asyncio.run(_serve(settings))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings))


async def _serve(settings: ServeSettings) -> int:
    journal = Log()
    library = Library(load_schema(known_versions()[-1]))
    serving = Serving(settings, open_source(settings, library))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, ended.set)
    await serving.start()
    control = None
    if settings.control is not None:
        control = await serve_control(serving, settings.control)
    bundles = serving.bundles
    journal.info(
        "serving",
        listen=str(settings.listen),
        mesh=None if bundles is None else bundles.mesh,
        generation=None if bundles is None else bundles.generation[:12],
        tls=settings.tls is not None,
    )
    notify(READY="1", STATUS=f"serving on {settings.listen}")
    watcher = asyncio.create_task(_report(serving, journal))
    await ended.wait()
    notify(STOPPING="1")
    journal.info("ending", streams=len(serving.hub))
    watcher.cancel()
    if control is not None:
        control.close()
    await serving.stop()
    return 0


async def _report(serving: Serving, journal: Log) -> None:
    """Log what changes, each thing once, and tell systemd that the loop turns."""
    interval = min(_LOOK_S, watchdog_interval_s() or _LOOK_S)
    seen: tuple[object, ...] = ()
    refusals: dict[tuple[str, TypeUrl], str] = {}
    while True:
        await asyncio.sleep(interval)
        notify(WATCHDOG="1")
        facts = serving.facts
        now = (facts.switches, facts.problem, facts.certificate_problem)
        if now != seen and seen:
            _log_change(serving, journal, seen, now)
        seen = now
        found = {
            (one.node, type_url): known.refusal
            for one in serving.hub
            for type_url, known in one.state.subscriptions.items()
            if known.refusal is not None
        }
        for key, reason in found.items():
            if refusals.get(key) != reason:
                short = SHORT_NAMES.get(key[1], key[1])
                journal.warn("refused", node=key[0], type=short, reason=reason)
        refusals = found


def _log_change(
    serving: Serving, journal: Log, before: tuple[object, ...], now: tuple[object, ...]
) -> None:
    if now[0] != before[0] and serving.bundles is not None:
        journal.info("switched", generation=serving.bundles.generation[:12])
    if now[1] and now[1] != before[1]:
        journal.warn("source", problem=str(now[1]))
    if now[2] and now[2] != before[2]:
        journal.warn("certificates", problem=str(now[2]))
