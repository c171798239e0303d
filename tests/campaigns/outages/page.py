"""``docs/outages.md``, from the results of a run: `python -m tests.campaigns.outages.page`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.campaigns.outages.bars import FEW, KNOWN
from tests.campaigns.outages.events import EVENTS
from tests.campaigns.outages.fleet import OURS
from tests.campaigns.outages.plain import COLUMNS
from tests.campaigns.outages.results import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.campaigns.outages.results import Results

PAGE = RESULTS.with_suffix(".md")
_ALL = (OURS, *COLUMNS)
_HEAD = """\
# Outages: what requests live through

What becomes of requests when hosts, applications and Envoys fail, with nothing set in the specs.
This page is made from `outages.json`, which one run of the campaign writes:

    make campaign ARGS="outages --seed 1"

Real Envoys on hosts in network namespaces of their own, one application behind each, and an agent
on the calling host. Clients of each kind ask all the time while something happens to one host of
two or five, or to a whole zone; in every second run endpoints, routes and listeners are delivered
meanwhile. 1, 4, 40 and 200 clients, on kept and on new connections; bodies of a few bytes, and of
5 MB for uploads and downloads.

- **Needless** is a failure that need not have been: no application saw the request and no host had
  taken it over, or it may be repeated (GET) and another host was there.
- **Lost** is one that had to be: under way, and not to be repeated, on what ended.
- **p99** is of the answered requests in the ten seconds after the event, with up to {few} clients:
  the slowest hundredth. An answer takes the application 20 ms, and all of this runs on one
  machine of two cores.
- **Out after** is how long the host went on getting requests, or attempts of TCP connections, in
  the first ten seconds, at worst.

Beside meshc the same load at the same time with what other meshes give by default, as plain Envoy
files: two retries, three of them at a time for a service; two retries without that limit; and no
retries.
"""
_SUMMARY = """
## All kinds of requests together

Failed needlessly, of all requests in all runs of a row. Where meshc has some, its section says of
which kind and why.

"""
_OVERLOAD = """
## Three times as many requests as fit

1,500 clients, each column by itself. A refusal is an answer with status 503 that no application
gave.

| | of what fits, answered | refused | p99 of refusals | median of answers |
|---|---:|---:|---:|---:|
"""


def write_page() -> None:
    """Write the page from the results that are there."""
    PAGE.write_text(render(json.loads(RESULTS.read_text())))


def render(results: Results) -> str:
    """Return the page."""
    parts = [
        _HEAD.format(few=FEW),
        _SUMMARY,
        _table(("", *_ALL), _summary_rows(results)),
        *(_section(row, results) for row in results["rows"]),
        _OVERLOAD,
        *(_overload_row(one) for one in results["overload"]),
    ]
    return "".join(parts)


def _title(row: str) -> str:
    event, _, settings = row.partition(" ")
    text = EVENTS[event].text
    text = text[0].upper() + text[1:]
    return f"{text}, with `{settings}`" if settings else text


def _summary_rows(results: Results) -> Iterable[tuple[str, ...]]:
    for row, kinds in results["rows"].items():
        shares = []
        for column in _ALL:
            requests = sum(cells[column]["requests"] for cells in kinds.values())
            needless = sum(cells[column]["needless"] for cells in kinds.values())
            shares.append(_share(needless, requests))
        yield (_title(row), *shares)


def _share(count: int, total: int) -> str:
    if not count:
        return "0"
    share = 100 * count / total
    return f"{count:,} ({share:.1f} %)" if share >= 0.05 else f"{count:,} (< 0.1 %)"


def _section(row: str, results: Results) -> str:
    event, _, settings = row.partition(" ")
    runs = results["runs"][row]
    must_be_out = EVENTS[event].must_be_out
    head = ["", "requests", "needless", "lost", "p99 before", "p99"]
    head += ["p99 once out", "out after"] if must_be_out else []
    head += [f"needless, {column}" for column in COLUMNS]
    lines = _table(
        head,
        (
            (kind, *_cells(cells, must_be_out=must_be_out))
            for kind, cells in results["rows"][row].items()
            if cells[OURS]["requests"]
        ),
    )
    text = f"\n## {_title(row)}\n\n{runs['all']} runs"
    text += f", {runs['with_deliveries']} of them with deliveries" if not settings else ""
    text += f".\n\n{lines}"
    known = {reason for (name, _), reason in KNOWN.items() if name == event and not settings}
    return text + "".join(f"\n{reason}\n" for reason in sorted(known))


def _cells(cells: dict[str, Any], *, must_be_out: bool) -> Iterable[str]:
    ours = cells[OURS]
    yield f"{ours['requests']:,}"
    yield f"{ours['needless']:,}"
    yield f"{ours['lost']:,}"
    yield _latency(ours["before"])
    yield _latency(ours["early"])
    if must_be_out:
        yield _latency(ours["late"])
        yield f"{ours['out_s']:.1f} s"
    for column in COLUMNS:
        yield f"{cells[column]['needless']:,}"


def _latency(percentiles: list[float | None]) -> str:
    return "" if percentiles[1] is None else f"{percentiles[1]:,.0f} ms"


def _table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    names = list(head)
    rules = "|".join(["---", *["---:"] * (len(names) - 1)])
    lines = [f"| {' | '.join(row)} |" for row in (names, *rows)]
    return "\n".join([lines[0], f"|{rules}|", *lines[1:], ""])


def _overload_row(one: dict[str, Any]) -> str:
    refused = f"{one['refused_p99']:.0f} ms" if one["refused"] else ""
    return (
        f"| {one['column']} | {one['goodput']:.0%} | {one['refused']:,} of {one['requests']:,} | "
        f"{refused} | {one['answered_p50'] / 1000:.1f} s |\n"
    )


if __name__ == "__main__":
    write_page()
