"""One run: clients that ask, an event in the midst of it, deliveries beside it."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.outages import plain
from tests.campaigns.outages.fleet import OURS, SERVICES
from tests.campaigns.outages.judge import Run, Times, judge, out_after, read_records
from tests.campaigns.outages.requests import Load
from tests.requests.running import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.campaigns.outages.events import Event
    from tests.campaigns.outages.fleet import Edit, Fleet, Sent

_ROOT = Path(__file__).resolve().parents[3]
_LOOK_S = 0.1
_DELIVERIES = (("endpoints", 0.0), ("routes", 1.5), ("listeners", 1.5))
"""What changes, and how long after the event or the change before."""
_FEW = ("http download", "http upload", "http2 upload", "grpc stream")
"""Kinds of which a client or two are enough: they take long, or much."""
_MANY = 100
_OF_MANY = ("http get", "http post", "grpc unary", "tcp")
"""What so many clients ask for; all kinds at once would measure this machine."""
_RATES = {1: 5, 4: 10, 40: 20, 200: 40}
_RATE_OF_FEW = 0.5
"""Requests a second of one kind and column, by the number of its clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many clients, whether their connections are kept, and how long each part lasts.

    ``lasts_s`` is for the event, None for its own time.
    """

    clients: int
    is_kept: bool
    before_s: float = 4.0
    lasts_s: float | None = None
    after_s: float = 4.0
    kinds: tuple[str, ...] = tuple(SERVICES)
    columns: tuple[str, ...] = (OURS, *plain.COLUMNS)


def loads_of(size: Size) -> list[Load]:
    """Return what is asked for in a run."""
    found = []
    for column in size.columns:
        for kind in size.kinds if size.clients <= _MANY else _OF_MANY:
            service = SERVICES[kind]
            number = list(plain.SERVICES).index(service)
            clients = min(size.clients, 2) if kind in _FEW else size.clients
            rate = _RATES[size.clients] if kind not in _FEW else _RATE_OF_FEW
            found.append(
                Load(
                    column=column,
                    kind=kind,
                    host="127.0.0.1",
                    port=9001 + number if column == OURS else plain.caller_port(column, service),
                    clients=clients,
                    is_kept=size.is_kept or kind in _FEW,
                    period=clients / rate,
                )
            )
    return found


def play(
    fleet: Fleet,
    event: Event,
    size: Size,
    folder: Path,
    *,
    has_deliveries: bool,
    edit: Edit | None = None,
) -> Run:
    """Let something happen while clients ask, and judge what they saw.

    ``edit`` changes the resources that the caller's Envoy starts with.
    """
    count = len(fleet.called) if event.is_everybody else 2 if event.is_zone else 1
    bad = fleet.called[-count:]
    fleet.renew_caller(edit)
    fleet.forget()
    with asking(fleet, loads_of(size), folder) as records, _looking(fleet) as sent:
        time.sleep(size.before_s)
        began = time.time()
        with contextlib.ExitStack() as stack, _delivering(fleet, is_on=has_deliveries):
            for host in bad:
                stack.enter_context(event.happen(fleet, host))
            had_begun = time.time()
            time.sleep(size.lasts_s or event.lasts_s)
            ended = time.time()
        fleet.await_all()
        times = Times(began=began, had_begun=had_begun, ended=ended, back=time.time())
        time.sleep(size.after_s)
    if has_deliveries:
        fleet.await_delivered()
    return Run(
        event=event.name,
        hosts=len(fleet.called),
        clients=size.clients,
        is_kept=size.is_kept,
        has_deliveries=has_deliveries,
        settings=fleet.settings,
        figures=judge(read_records(records), fleet.seen(), event, times),
        out_s=out_after(sent, {host.address for host in bad}, began=began),
    )


@contextlib.contextmanager
def asking(fleet: Fleet, loads: list[Load], folder: Path) -> Iterator[Path]:
    """Ask as long as the block lasts; yields where each request is written down."""
    asked, records = folder / "loads.json", folder / "records"
    asked.write_text(json.dumps([asdict(load) for load in loads]))
    records.unlink(missing_ok=True)
    command = [*fleet.caller.namespace.within, sys.executable, "-m"]
    command += ["tests.campaigns.outages.clients", str(asked), str(records)]
    process = Process(command, folder=_ROOT, log=folder / "clients.log")
    try:
        yield records
    finally:
        process.end(signal.SIGTERM)


@contextlib.contextmanager
def _looking(fleet: Fleet) -> Iterator[list[tuple[float, Sent]]]:
    """Look again and again how much the caller's Envoys have sent to each host."""
    found: list[tuple[float, Sent]] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(_LOOK_S):
            found.append((time.time(), fleet.sent()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        is_over.set()
        thread.join()


@contextlib.contextmanager
def _delivering(fleet: Fleet, *, is_on: bool) -> Iterator[None]:
    def deliver() -> None:
        for kind, pause in _DELIVERIES:
            time.sleep(pause)
            fleet.change(kind)

    thread = threading.Thread(target=deliver)
    if is_on:
        thread.start()
    yield
    if is_on:
        thread.join()
