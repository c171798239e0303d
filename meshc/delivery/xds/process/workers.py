"""Several processes on one port: started, watched, asked and ended as if they were one server."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshc.delivery.log import Log
from meshc.delivery.notify import notify, watchdog_interval_s
from meshc.delivery.xds.process.control import serve_control
from meshc.delivery.xds.process.merged import merged
from meshc.delivery.xds.process.worker import Worker

if TYPE_CHECKING:
    from meshc.delivery.xds.settings import ServeSettings

_LOOK_S = 1.0
_WORLD = 3


def serve_with_workers(settings: ServeSettings) -> int:
    """Serve with several processes until a signal comes; return the exit code.

    Raises:
        DeliveryError: the address for the status cannot be had.
    """
    return asyncio.run(_supervise(settings))


class Workers:
    """All of them, and what they say together."""

    def __init__(self, all_of: list[Worker], settings: ServeSettings) -> None:
        self._all = all_of
        self._settings = settings

    @property
    def serving_on(self) -> str:
        """Where they serve, for whoever asks systemd."""
        return f"{len(self._all)} workers serve on {self._settings.listen}"

    async def start(self) -> int | None:
        """Start one, which finds out whether it can be done, and then the others.

        Returns None once all serve, or the exit code of one that has ended.
        """
        first, *others = self._all
        codes = [await first.start()]
        if codes == [None]:
            codes += await asyncio.gather(*(one.start() for one in others))
        return next((code or _WORLD for code in codes if code is not None), None)

    async def keep(self) -> None:
        """Keep all of them running, for ever."""
        await asyncio.gather(*(one.keep() for one in self._all))

    def hang_up(self) -> None:
        """Let all of them look at their source at once."""
        for one in self._all:
            one.hang_up()

    async def stop(self) -> None:
        """End all of them."""
        await asyncio.gather(*(one.stop() for one in self._all))

    def trouble(self) -> str:
        """Say why nobody should come here: one takes connections and does not answer, or none is.

        One that is being started again takes none, and the others go on.
        """
        silent = [f"worker {one.name} {one.said}" for one in self._all if one.state == "silent"]
        if not silent and all(one.state != "serving" for one in self._all):
            return "no worker serves"
        return "; ".join(silent)

    async def status(self) -> dict[str, Any]:
        """Return everything, streams included."""
        found = await asyncio.gather(*(one.ask_json("/status") for one in self._all))
        statuses = {
            worker.name: status
            for worker, status in zip(self._all, found, strict=True)
            if status is not None
        }
        listen, tls = str(self._settings.listen), self._settings.tls is not None
        problems = [
            f"worker {one.name} {one.said or 'does not answer'}"
            for one in self._all
            if one.said or one.name not in statuses
        ]
        workers = [
            {"worker": one.name, "state": one.state, "pid": one.pid, "restarts": one.restarts}
            | {
                key: statuses.get(one.name, {}).get(key)
                for key in ("generation", "connections", "open_streams")
            }
            for one in self._all
        ]
        return merged(statuses) | {
            "listen": listen,
            "tls": tls,
            "worker_problem": "; ".join(problems),
            "workers": workers,
        }

    async def overviews(self) -> dict[str, dict[str, Any]]:
        """Return what is counted, by worker; of one that does not answer that alone."""
        found = await asyncio.gather(*(one.ask_json("/overview") for one in self._all))
        return {
            worker.name: (said or {}).get("", {})
            | {"is_up": said is not None, "restarts": worker.restarts}
            for worker, said in zip(self._all, found, strict=True)
        }


async def _supervise(settings: ServeSettings) -> int:
    journal = Log(is_json=settings.log == "json")
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, ended.set)
    with tempfile.TemporaryDirectory(prefix="meshc-serve-") as folder:
        all_of = [
            Worker(number, settings, Path(folder), journal)
            for number in range(1, settings.workers + 1)
        ]
        workers = Workers(all_of, settings)
        loop.add_signal_handler(signal.SIGHUP, workers.hang_up)
        control = None
        if settings.control is not None:
            control = await serve_control(workers, settings.control)
        try:
            return await _until_ended(workers, ended, settings, journal)
        finally:
            await workers.stop()
            if control is not None:
                control.close()


async def _until_ended(
    workers: Workers, ended: asyncio.Event, settings: ServeSettings, journal: Log
) -> int:
    """Start the workers and keep them; whoever calls stops them."""
    end: asyncio.Task[Any] = asyncio.create_task(ended.wait())
    starting: asyncio.Task[int | None] = asyncio.create_task(workers.start())
    await asyncio.wait({end, starting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        return 0
    code = starting.result()
    if code is not None:
        journal.error("a worker cannot serve", code=code)
        return code
    journal.info("all workers serve", listen=str(settings.listen), workers=settings.workers)
    notify(READY="1", STATUS=workers.serving_on)
    tasks: set[asyncio.Task[Any]] = {
        asyncio.create_task(workers.keep()),
        asyncio.create_task(_tell(workers)),
    }
    done, _ = await asyncio.wait({end, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for one in tasks:
        one.cancel()
    notify(STOPPING="1")
    journal.info("ending", workers=settings.workers)
    for one in done & tasks:
        one.result()  # they end by a mistake alone, and that is to be heard of
    return 0


async def _tell(workers: Workers) -> None:
    """Tell systemd that all is well, as long as it is, and otherwise what is not."""
    interval = min(_LOOK_S, watchdog_interval_s() or _LOOK_S)
    said = ""
    while True:
        await asyncio.sleep(interval)
        trouble = workers.trouble()
        if not trouble:
            notify(WATCHDOG="1")
        if trouble != said:
            notify(STATUS=trouble or workers.serving_on)
            said = trouble
