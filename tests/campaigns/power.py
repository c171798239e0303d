"""Images of a disk whose power went away in the midst of deliveries.

Each time: no file is torn, an Envoy could start with what lies there, the agent's memory is old
or new, nothing is lost that was taken for durable; and when the host starts again it converges.
"""

from __future__ import annotations

import itertools
import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.campaigns.blockdevice import disk
from tests.campaigns.blockdevice.host import STARTS
from tests.campaigns.blockdevice.images import draw_images, is_delivery
from tests.campaigns.blockdevice.mounts import keep_mounts_to_this_process
from tests.campaigns.blockdevice.nbd import Flush, Write
from tests.campaigns.blockdevice.record import record, record_start
from tests.campaigns.blockdevice.verdict import KINDS, Bench
from tests.campaigns.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.campaigns.blockdevice.disk import FileSystem
    from tests.campaigns.blockdevice.images import Image
    from tests.campaigns.blockdevice.record import Recording

_COMMITS = (0.0, 0.05, 0.3)
"""How likely somebody else's sync comes before any step; at 0 only the agent's own are there."""
_DELIVERIES = 8
_PER_RECORDING = 200
_PER_START = 10
_LEAST_RECORDINGS = 2
_STARTS_SHARE = 0.25
_SHOWN = 40
_CLAIMED = "right after something was taken for durable"
_UNDER_WAY = "in the midst of writing a set"
_PARTLY = "with a part of what was not flushed"
_AGAIN = "in the midst of starting after an earlier power cut"
_SORTS = (_CLAIMED, _UNDER_WAY, _PARTLY, _AGAIN)


def run(*, count: int, seed: int) -> Report:
    """Cut the power that often; ends at once where no disk can be had."""
    if reason := disk.require(*disk.EXT4):
        sys.exit(f"no power can be cut here: {reason}")
    keep_mounts_to_this_process()
    missing = {system.name: disk.require(system) for system in disk.OTHERS}
    others = tuple(system for system in disk.OTHERS if not missing[system.name])
    report = cut_power(count=count, seed=seed, systems=disk.EXT4 + others)
    report.notes += [f"not on {name}: {reason}" for name, reason in missing.items() if reason]
    return report


def cut_power(
    *,
    count: int,
    seed: int,
    systems: Sequence[FileSystem] = disk.EXT4,
    mutant: str = "",
    stop_at: str = "",
) -> Report:
    """Cut the power; ends early once something of the kind ``stop_at`` was found."""
    report = Report(name="power", seed=seed)
    for what in ("deliveries", "images", *(f"  {what}" for what in _SORTS), *KINDS):
        report.count(what, 0)
    with Bench() as bench:
        cutter = _Cutter(report=report, bench=bench, draw=random.Random(seed), mutant=mutant)
        ways = itertools.cycle((system, commits) for commits in _COMMITS for system in systems)
        size = min(_PER_RECORDING, -(-count // max(_LEAST_RECORDINGS, len(systems))))
        while (left := count - report.counts["images"]) > 0 and not report.counts.get(stop_at):
            system, commits = next(ways)
            cutter.cut(min(size, left), system, commits, stop_at)
    if bench.again:
        report.notes.append(f"{bench.again} images were not mounted at the first attempt")
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cutter:
    report: Report
    bench: Bench
    draw: random.Random
    mutant: str

    def cut(self, count: int, system: FileSystem, commits: float, stop_at: str) -> None:
        """Deliver, and cut the power in that; start from some of the images, and cut it again."""
        recording = record(
            seed=self.draw.randrange(1 << 32),
            system=system,
            deliveries=_DELIVERIES,
            mutant=self.mutant,
            commits=commits,
        )
        _count(self.report, recording)
        again = round(count * _STARTS_SHARE / _PER_START)
        bases: list[Image] = []
        seen = 0
        for image in draw_images(recording, count - again * _PER_START, self.draw):
            self._try(image)
            if self.report.counts.get(stop_at):
                return
            if not image.expected.laid:
                seen += 1
                place = len(bases) if len(bases) < again else self.draw.randrange(seen)
                if place < again:  # each of them has the same chance to stay
                    bases[place : place + 1] = [image]
        for base in bases:
            start = record_start(base, self.draw.choice(STARTS), mutant=self.mutant)
            for image in draw_images(start, _PER_START, self.draw):
                self.report.count(f"  {_AGAIN}")
                self._try(image)
                if self.report.counts.get(stop_at):
                    return

    def _try(self, image: Image) -> None:
        report, start = self.report, self.draw.choice(STARTS)
        report.count("images")
        report.count(f"  of {image.system.name}")
        report.count(f"  {_CLAIMED}", int(image.is_claimed))
        report.count(f"  {_UNDER_WAY}", int(not image.expected.laid))
        report.count(f"  {_PARTLY}", int(image.kept > 0 and image.lost > 0))
        for kind, problem in self.bench.judge(image, start):
            report.count(kind)
            if len(report.violations) < _SHOWN:
                report.violated(f"{kind}: {image.name}, {start}: {problem}")


def _count(report: Report, recording: Recording) -> None:
    report.count("deliveries", sum(is_delivery(one) for one in recording.log))
    for kind, what in ((Write, "writes of the disks"), (Flush, "flushes of the disks")):
        report.count(what, sum(isinstance(one, kind) for one in recording.log))
