"""Images of a disk whose power went away in the midst of deliveries.

Each time: no file is torn, an Envoy could start with what lies there, the agent's memory is old
or new, nothing is lost that was taken for durable; and when the host starts again it converges.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

from tests.campaigns.blockdevice import disk
from tests.campaigns.blockdevice.images import draw_images, is_delivery
from tests.campaigns.blockdevice.nbd import Flush, Write
from tests.campaigns.blockdevice.record import MOUNTS, record
from tests.campaigns.blockdevice.verdict import KINDS, STARTS, Host
from tests.campaigns.report import Report

if TYPE_CHECKING:
    from tests.campaigns.blockdevice.images import Image
    from tests.campaigns.blockdevice.record import Recording

_COMMITS = (0.0, 0.05, 0.3)
"""How likely somebody else's sync comes before any step; at 0 only the agent's own are there."""
_DELIVERIES = 8
_MOST_PER_RECORDING = 250
_LEAST_RECORDINGS = 2
_SHOWN = 40
_CLAIMED = "right after something was taken for durable"
_UNDER_WAY = "in the midst of writing a set"
_PARTLY = "with a part of what was not flushed"
_SORTS = (_CLAIMED, _UNDER_WAY, _PARTLY)


def run(*, count: int, seed: int) -> Report:
    """Cut the power that often."""
    return cut_power(count=count, seed=seed)


def cut_power(*, count: int, seed: int, mutant: str = "", stop_at: str = "") -> Report:
    """Cut the power; ends early once something of the kind ``stop_at`` was found."""
    report = Report(name="power", seed=seed)
    if reason := disk.require():
        report.notes.append(f"no power was cut: {reason}")
        return report
    for what in ("deliveries", "images", *(f"  {what}" for what in _SORTS), *KINDS):
        report.count(what, 0)
    draw = random.Random(seed)
    size = min(_MOST_PER_RECORDING, -(-count // _LEAST_RECORDINGS))
    ways = itertools.cycle((mounts, commits) for commits in _COMMITS for mounts in MOUNTS)
    with Host() as host:
        while (left := count - report.counts["images"]) > 0:
            options, commits = next(ways)
            recording = record(
                seed=draw.randrange(1 << 32),
                options=options,
                deliveries=_DELIVERIES,
                mutant=mutant,
                commits=commits,
            )
            _count(report, recording)
            for image in draw_images(recording, min(size, left), draw):
                _try(report, host, image, draw.choice(STARTS))
                if report.counts.get(stop_at):
                    return report
    return report


def _try(report: Report, host: Host, image: Image, start: str) -> None:
    report.count("images")
    report.count(f"  {_CLAIMED}", int(image.is_claimed))
    report.count(f"  {_UNDER_WAY}", int(not image.expected.laid))
    report.count(f"  {_PARTLY}", int(image.kept > 0 and image.lost > 0))
    for kind, problem in host.judge(image, start):
        report.count(kind)
        if len(report.violations) < _SHOWN:
            report.violated(f"{kind}: {image.name}, {start}: {problem}")


def _count(report: Report, recording: Recording) -> None:
    report.count("deliveries", sum(is_delivery(one) for one in recording.log))
    for kind, what in ((Write, "writes of the disks"), (Flush, "flushes of the disks")):
        report.count(what, sum(isinstance(one, kind) for one in recording.log))
