"""Measure meshc beside floors, print a table; no bound is ever asserted.

A figure that was not about what it says, because something else was touched or lost meanwhile, is
a failed run: exit code 1.

    python -m benchmarks [--quick] [--json FILE] [--scratch DIR] [--repeats N] [--only NAME]

The scratch folder should lie on the disk that counts.  On one that is busy or slow to take
bytes in, the bare loop varies several times over, and so does everything beside it: figures and
floors are measured in turn, and the ratio is the median of the pairs.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.agent import AGENT_FIGURES
from benchmarks.figures import FIGURES, Bench
from benchmarks.publication import PUBLICATION_FIGURES
from benchmarks.serving import SERVING_FIGURES, serve_loading, serve_one_change

if TYPE_CHECKING:
    from benchmarks.measure import Figure

_FULL, _QUICK = 1000, 300
_FULL_REPEATS, _QUICK_REPEATS = 5, 3
_ALL = FIGURES + AGENT_FIGURES + PUBLICATION_FIGURES + SERVING_FIGURES
_DIGITS = {"s": 2, "%": 3, "MiB": 1}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3,000 nodes and fewer repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where to write; default: tmp")
    parser.add_argument("--repeats", type=int, metavar="N", help="how often to measure each")
    names = [figure.__name__ for figure in _ALL]
    parser.add_argument("--only", choices=names, action="append", help="measure only this")
    return parser.parse_args()


def _print_head(bench: Bench) -> None:
    print(
        f"reference mesh: {bench.services:,} services, {bench.services * 10:,} nodes, "
        f"10 dependencies each; medians of {bench.repeats}; "
        f"Python {platform.python_version()}, {platform.machine()}"
    )
    print(f"{'figure':58} {'value':>10} {'floor':>10} {'ratio':>6}  {'bound':>16}  met")


def _print(figure: Figure) -> None:
    digits = _DIGITS.get(figure.unit, 0)
    value = f"{figure.value:.{digits}f} {figure.unit}"
    floor = "" if figure.floor is None else f"{figure.floor:.{digits}f} {figure.unit}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    if figure.excess is not None:
        ratio = f"+{figure.excess:.0f}"
    bounds = []
    if figure.max_ratio is not None:
        bounds.append(f"{figure.max_ratio:g} x")
    if figure.max_excess is not None:
        bounds.append(f"+ {figure.max_excess:g} {figure.unit}")
    if figure.limit is not None:
        bounds.append(f"{figure.limit:g} {figure.unit}")
    bound = ", ".join(bounds)
    met = ("yes" if figure.is_met else "NO") if bound or not figure.is_met else ""
    print(f"{figure.name:58} {value:>10} {floor:>10} {ratio:>6}  {bound:>16}  {met}")
    for note in (figure.floor_name and f"floor: {figure.floor_name}", figure.details):
        if note:
            print(f"  {note}")
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    repeats = arguments.repeats or (_QUICK_REPEATS if arguments.quick else _FULL_REPEATS)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="meshc-bench-", dir=arguments.scratch) as scratch:
        bench = Bench(
            scratch=Path(scratch),
            services=_QUICK if arguments.quick else _FULL,
            repeats=repeats,
            is_quick=arguments.quick,
        )
        _print_head(bench)
        wanted = [
            measure for measure in _ALL if not arguments.only or measure.__name__ in arguments.only
        ]
        if set(wanted) & {*FIGURES, serve_loading, serve_one_change}:
            bench.prepare()
        for measure in wanted:
            for figure in measure(bench):
                _print(figure)
                figures.append(figure)
    if arguments.json:
        data = [{**asdict(figure), "is_met": figure.is_met} for figure in figures]
        arguments.json.write_text(json.dumps(data, indent=2) + "\n")
    unsound = [figure.name for figure in figures if not figure.is_sound]
    if unsound:
        sys.exit(f"not measured as they should be: {', '.join(unsound)}")


if __name__ == "__main__":
    main()
