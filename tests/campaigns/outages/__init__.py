"""Requests while hosts, applications and Envoys fail: the matrix behind ``docs/outages.md``.

requests   what a load is, and what is written down of each request
clients    clients of every kind, as a process; http2 those of HTTP/2 and gRPC
network    hosts in network namespaces, on a switch
fleet      a caller and called hosts: Envoys, applications, an agent; plain the columns beside ours
events     what happens to hosts; cells at which sizes
play       one run: clients, an event, deliveries
judge      which failures need not have been; bars what must hold, and what is known not to
overload   three times as many requests as fit
results    all runs together, as JSON; page the page made from it
"""

from __future__ import annotations

import json
import random
import tempfile
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.outages import bars, overload
from tests.campaigns.outages.cells import CELLS, Cell
from tests.campaigns.outages.events import EVENTS
from tests.campaigns.outages.fleet import OURS, Fleet
from tests.campaigns.outages.network import missing_for_network, network
from tests.campaigns.outages.page import write_page
from tests.campaigns.outages.plain import COLUMNS
from tests.campaigns.outages.play import play
from tests.campaigns.outages.results import RESULTS, summarize
from tests.campaigns.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.campaigns.outages.judge import Run

_RAW = Path(__file__).resolve().parents[3] / "build" / "outages.jsonl"
"""One line a run, with all latencies."""


def run(*, count: int, seed: int) -> Report:
    """Play ``count`` cells of the matrix; all of them make the page anew."""
    report = Report(name="outages", seed=seed)
    if missing := missing_for_network():
        report.violated(missing)
        return report
    draw = random.Random(seed)
    cells = draw.sample(CELLS, min(count, len(CELLS)))
    runs = _play_all(cells, report)
    for violation in bars.of_all(runs):
        report.violated(violation)
    found = _overload_all(report)
    if len(cells) == len(CELLS):
        order = {cell.event: place for place, cell in reversed([*enumerate(CELLS)])}
        runs.sort(key=lambda one: (bool(one.settings), order[one.event]))
        results = summarize(runs, found, seed=seed)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_page()
    return report


def _play_all(cells: list[Cell], report: Report) -> list[Run]:
    def fleet_of(cell: Cell) -> tuple[int, str]:
        return cell.hosts, cell.settings

    runs = []
    _RAW.parent.mkdir(exist_ok=True)
    _RAW.unlink(missing_ok=True)
    for (hosts, settings), found in groupby(sorted(cells, key=fleet_of), key=fleet_of):
        with _fleet(hosts, settings=settings) as (fleet, folder):
            for cell in found:
                done = play(
                    fleet,
                    EVENTS[cell.event],
                    cell.size,
                    folder,
                    has_deliveries=cell.has_deliveries,
                )
                runs.append(done)
                with _RAW.open("a") as stream:
                    stream.write(done.line() + "\n")
                _count(report, done)
    return runs


def _count(report: Report, done: Run) -> None:
    missed = bars.of_run(done)
    print(f"{done}: {len(missed)} bars missed", flush=True)  # noqa: T201, progress of an hour
    for violation in missed:
        report.violated(violation)
    report.count("runs")
    for figures in done.figures.get(OURS, {}).values():
        report.count("requests", figures.requests)
        report.count("failed needlessly", figures.needless)
        report.count("lost", figures.lost)


def _overload_all(report: Report) -> list[overload.Overload]:
    with _fleet(2, takes=overload.TAKES) as (fleet, folder):
        found = [overload.overload(fleet, column, folder) for column in (OURS, *COLUMNS)]
    for violation in overload.violations(found):
        report.violated(violation)
    return found


@contextmanager
def _fleet(hosts: int, *, settings: str = "", takes: str = "0.02") -> Iterator[tuple[Fleet, Path]]:
    with (
        tempfile.TemporaryDirectory(prefix="meshc-outages-") as place,
        network(hosts) as found,
    ):
        fleet = Fleet(Path(place), found, settings=settings, takes=takes)
        try:
            fleet.start()
            yield fleet, Path(place)
        finally:
            fleet.close()
