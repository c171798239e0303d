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
from tests.campaigns.outages.fleet import OURS
from tests.campaigns.outages.judge import Run, judge, out_after, read_records
from tests.campaigns.outages.requests import Load
from tests.requests.running import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.campaigns.outages.events import Event
    from tests.campaigns.outages.fleet import Fleet, Sent

_ROOT = Path(__file__).resolve().parents[3]
_LOOK_S = 0.1
_GONE_S = 3.0
_DELIVERIES = (("endpoints", 0.0), ("routes", 1.5), ("listeners", 1.5))
"""What changes, and how long after the event or the change before."""
_SERVICES = {
    "http get": "web",
    "http post": "web",
    "http upload": "web",
    "websocket": "web",
    "http2 get": "two",
    "grpc unary": "rpc",
    "grpc stream": "rpc",
    "tcp": "db",
}
_FEW = ("http upload", "grpc stream")
"""Kinds of which a client or two are enough: they take long."""
_RATES = {1: 10, 4: 20, 40: 40, 200: 67}
"""Requests a second of one kind and column, by the number of its clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many clients, whether their connections are kept, and how long each part lasts."""

    clients: int
    is_kept: bool
    before_s: float = 4.0
    lasts_s: float = 14.0
    after_s: float = 4.0
    kinds: tuple[str, ...] = tuple(_SERVICES)
    columns: tuple[str, ...] = (OURS, *plain.COLUMNS)


def loads_of(size: Size) -> list[Load]:
    """Return what is asked for in a run."""
    found = []
    for column in size.columns:
        for kind in size.kinds:
            service = _SERVICES[kind]
            number = list(plain.SERVICES).index(service)
            clients = min(size.clients, 2) if kind in _FEW else size.clients
            rate = _RATES[size.clients] if kind not in _FEW else 1
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


def play(fleet: Fleet, event: Event, size: Size, folder: Path, *, has_deliveries: bool) -> Run:
    """Let something happen while clients ask, and judge what they saw."""
    count = len(fleet.called) if event.is_everybody else 2 if event.is_zone else 1
    bad = fleet.called[-count:]
    fleet.forget()
    with _asking(fleet, size, folder) as records, _looking(fleet) as sent:
        time.sleep(size.before_s)
        began = time.time()
        with contextlib.ExitStack() as stack, _delivering(fleet, is_on=has_deliveries):
            for host in bad:
                stack.enter_context(event.happen(fleet, host))
            time.sleep(_GONE_S if event.is_everybody else size.lasts_s)
            ended = time.time()
        time.sleep(size.after_s)
    if has_deliveries:
        fleet.await_delivered()
    return Run(
        event=event.name,
        hosts=len(fleet.called),
        clients=size.clients,
        is_kept=size.is_kept,
        has_deliveries=has_deliveries,
        figures=judge(read_records(records), fleet.seen(), event, began=began, ended=ended),
        out_s=out_after(sent, {host.address for host in bad}, began=began),
    )


@contextlib.contextmanager
def _asking(fleet: Fleet, size: Size, folder: Path) -> Iterator[Path]:
    loads, records = folder / "loads.json", folder / "records"
    loads.write_text(json.dumps([asdict(load) for load in loads_of(size)]))
    records.unlink(missing_ok=True)
    command = [*fleet.caller.namespace.within, sys.executable, "-m"]
    command += ["tests.campaigns.outages.clients", str(loads), str(records)]
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
