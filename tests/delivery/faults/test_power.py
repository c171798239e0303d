"""Deliveries whose power goes away: the short form of the campaign, and proof that it can fail."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.campaigns.blockdevice import disk
from tests.campaigns.blockdevice.content import BLOCK, Content
from tests.campaigns.blockdevice.images import draw_images
from tests.campaigns.blockdevice.nbd import Flush, Mark, Write
from tests.campaigns.blockdevice.record import Recording
from tests.campaigns.blockdevice.verdict import LOST, NOT_STARTABLE, TORN
from tests.campaigns.power import cut_power

if TYPE_CHECKING:
    from tests.campaigns.blockdevice.nbd import Record

SEED = 1


@pytest.fixture
def _disk() -> None:
    if reason := disk.require(*disk.EXT4):
        pytest.skip(reason)


@pytest.fixture(params=disk.OTHERS, ids=lambda system: system.name)
def other(request: pytest.FixtureRequest) -> disk.FileSystem:
    system: disk.FileSystem = request.param
    if reason := disk.require(system):
        pytest.skip(reason)
    return system


@pytest.mark.usefixtures("_disk")
def test_120_power_cuts_tear_nothing_and_lose_nothing_acknowledged() -> None:
    report = cut_power(count=120, seed=SEED)

    assert report.is_clean, report.text()
    assert report.counts["images"] == 120, report.text()
    assert report.counts["deliveries"] >= 20, report.text()
    assert report.counts["flushes of the disks"] >= 100, report.text()
    assert report.counts["  right after something was taken for durable"] >= 12, report.text()
    assert report.counts["  in the midst of writing a set"] >= 24, report.text()
    assert report.counts["  in the midst of starting after an earlier power cut"] >= 12, (
        report.text()
    )
    assert report.counts["  with a part of what was not flushed"] >= 3, report.text()


@pytest.mark.usefixtures("_disk")
@pytest.mark.parametrize(
    ("mutant", "found"),
    [
        ("skip the folder fsync", LOST),
        ("skip the file fsync", TORN),
        ("skip the file fsync", NOT_STARTABLE),
        ("forget the target's folders", LOST),
        ("forget the ledger's folder", LOST),
    ],
)
def test_the_campaign_finds_a_sync_that_is_left_out(mutant: str, found: str) -> None:
    report = cut_power(count=100, seed=SEED, mutant=mutant, stop_at=found)

    assert report.counts[found] >= 1, report.text()


def test_40_power_cuts_tear_and_lose_nothing_on_other_file_systems(
    other: disk.FileSystem,
) -> None:
    report = cut_power(count=40, seed=SEED, systems=(other,))

    assert report.is_clean, report.text()
    assert report.counts[f"  of {other.name}"] == 40, report.text()
    assert report.counts["  right after something was taken for durable"] >= 5, report.text()


def test_a_rename_that_is_not_synced_is_found_on_other_file_systems(
    other: disk.FileSystem,
) -> None:
    report = cut_power(
        count=100,
        seed=SEED,
        systems=(other,),
        mutant="forget the target's folders",
        stop_at=LOST,
    )

    assert report.counts[LOST] >= 1, report.text()


@pytest.mark.usefixtures("_disk")
def test_a_disk_leaves_no_mount_behind_when_its_user_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with disk.logged_disk(tmp_path, disk.EXT4[0]) as logged:
            (logged.root / "file").write_bytes(b"unsynced")
            assert str(logged.root) in Path("/proc/mounts").read_text()
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()

    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    backing = [place.read_text() for place in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert not [file for file in backing if str(tmp_path) in file]


def test_what_was_flushed_is_in_every_image_and_what_was_not_is_in_some() -> None:
    log: list[Record] = [
        Mark({"what": "begins", "goal": "first", "before": "", "mode": "once"}),
        Write(0, b"a" * BLOCK),
        Flush(),
        Write(BLOCK, b"b" * BLOCK + b"c" * BLOCK),
        Write(0, b"d" * BLOCK),
        Mark({"what": "over"}),
    ]
    recording = Recording(system=disk.EXT4[0], initial=Content(3 * BLOCK), log=log, name="by hand")

    images = {
        tuple(image.content.read(place, 1) for place in range(0, 3 * BLOCK, BLOCK))
        for image in draw_images(recording, 3000, random.Random(SEED))
    }

    no = b"\0"
    unflushed = {(first, b, c) for first in (b"a", b"d") for b in (no, b"b") for c in (no, b"c")}
    before_the_flush = {(no, no, no), (b"a", no, no)}
    assert images == unflushed | before_the_flush


def test_an_image_knows_what_was_said_before_the_cut_and_nothing_of_later() -> None:
    log: list[Record] = [
        Mark({"what": "begins", "goal": "more", "before": "first", "mode": "once"}),
        Mark({"what": "saved", "number": 1, "digest": "one"}),
        Mark({"what": "laid", "goal": "more"}),
        Mark({"what": "saving"}),
        Write(0, b"x"),
        Mark({"what": "saved", "number": 2, "digest": "two"}),
    ]
    recording = Recording(system=disk.EXT4[0], initial=Content(BLOCK), log=log, name="by hand")

    said = {
        (tuple(image.expected.saves), image.expected.laid, image.expected.unsure)
        for image in draw_images(recording, 200, random.Random(SEED))
    }

    assert said == {
        ((), "", ""),
        (("one",), "", ""),
        (("one",), "more", ""),
        (("one",), "more", "two"),
    }
