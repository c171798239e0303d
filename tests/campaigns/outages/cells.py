"""The matrix: every event, at every size."""

from __future__ import annotations

from dataclasses import dataclass

from tests.campaigns.outages.events import EVENTS
from tests.campaigns.outages.fleet import CHECKED
from tests.campaigns.outages.play import Size

_SIZES = {
    2: ((1, True), (4, False), (40, True), (200, False)),
    5: ((1, False), (4, True), (40, False), (200, True)),
}
"""Called hosts → clients, and whether their connections are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of the matrix: an event, how many hosts are called, and the size of the load.

    ``settings`` names what else the services have.
    """

    event: str
    hosts: int
    size: Size
    has_deliveries: bool
    settings: str = ""


def _all() -> tuple[Cell, ...]:
    found: list[Cell] = []
    for event in EVENTS.values():
        for hosts, sizes in _SIZES.items():
            for number, (clients, is_kept) in enumerate(sizes):
                if event.is_zone and hosts == min(_SIZES):
                    continue
                size = Size(clients=clients, is_kept=is_kept)
                # By turns, so that each event has as many with deliveries as without.
                has_deliveries = (number + hosts) % 2 == 1
                found.append(
                    Cell(event=event.name, hosts=hosts, size=size, has_deliveries=has_deliveries)
                )
    for event_name in ("application-killed", "application-hangs", "envoy-hangs"):
        size = Size(clients=4, is_kept=True)
        found.append(
            Cell(event=event_name, hosts=2, size=size, has_deliveries=False, settings=CHECKED)
        )
    return tuple(found)


CELLS = _all()
