"""Three times as many requests as fit, with each column's defaults by itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.campaigns.outages.bars import percentile
from tests.campaigns.outages.fleet import OURS
from tests.campaigns.outages.judge import read_records
from tests.campaigns.outages.plain import caller_port
from tests.campaigns.outages.play import asking
from tests.campaigns.outages.requests import Load

if TYPE_CHECKING:
    from pathlib import Path

    from tests.campaigns.outages.fleet import Fleet

TAKES = "0.1/10"
"""An answer takes 0.1 s, and each host works on ten at a time."""
_PER_HOST = 100
_TIMES = 3
_CLIENTS = 1_500
_WARM_S = 8.0
_LASTS_S = 12.0
GOODPUT = 0.9
REFUSED_WITHIN_MS = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """What came of it in one column.

    ``goodput``: answers as a share of what the hosts can give.  Latencies in milliseconds: the
    median of answers, the slowest hundredth of refusals.
    """

    column: str
    requests: int
    answered: int
    refused: int
    goodput: float
    answered_p50: float
    refused_p99: float


def overload(fleet: Fleet, column: str, folder: Path) -> Overload:
    """Ask a column's Envoy for more than fits, and count once it is under way."""
    capacity = _PER_HOST * len(fleet.called)
    fleet.renew_caller()
    load = Load(
        column=column,
        kind="http get",
        host="127.0.0.1",
        port=9001 if column == OURS else caller_port(column, "web"),
        clients=_CLIENTS,
        is_kept=True,
        period=_CLIENTS / (capacity * _TIMES),
        is_spread=True,
    )
    with asking(fleet, [load], folder) as records:
        time.sleep(_WARM_S)
        began = time.time()
        time.sleep(_LASTS_S)
        ended = time.time()
    done = [one for one in read_records(records) if began <= one.began + one.took < ended]
    good = sorted(one.took * 1000 for one in done if not one.error)
    refused = sorted(one.took * 1000 for one in done if one.error)
    return Overload(
        column=column,
        requests=len(done),
        answered=len(good),
        refused=len(refused),
        goodput=round(len(good) / (ended - began) / capacity, 3),
        answered_p50=round(percentile(good, 0.5), 1),
        refused_p99=round(percentile(refused, 0.99), 1),
    )


def violations(found: list[Overload]) -> list[str]:
    """Return where ours misses a bar, or another column is better by more than noise."""
    ours = next(one for one in found if one.column == OURS)
    missed = []
    if ours.goodput < GOODPUT:
        missed.append(f"overload: {ours.goodput:.0%} of what fits was answered")
    if not ours.refused or ours.refused_p99 > REFUSED_WITHIN_MS:
        missed.append(f"overload: {ours.refused} refused, p99 {ours.refused_p99} ms")
    return missed
