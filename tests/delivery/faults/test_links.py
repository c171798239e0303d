"""A target in which somebody swaps places for links: the campaign's short form, and its proof."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from meshc.delivery import materialize
from meshc.delivery.agent import swap
from meshc.delivery.errors import DeliveryError
from tests.campaigns.links import SETS_ONLY, attack

if TYPE_CHECKING:
    from pathlib import Path

SEED = 1


def put_by_its_name(directory: Path, path: str, data: bytes) -> None:
    """Put a file as most programs would."""
    place = directory / path
    draft = directory / swap.STAGING / "next"
    try:
        for folder in (draft.parent, place.parent):
            folder.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(data)
        draft.rename(place)
    except OSError as error:
        raise DeliveryError("the disk refuses") from error


def remove_by_its_name(directory: Path, path: str) -> None:
    """Remove a file as most programs would."""
    try:
        (directory / path).unlink(missing_ok=True)
    except OSError as error:
        raise DeliveryError("the disk refuses") from error


def drop_by_its_name(directory: Path, path: str) -> None:
    """Remove a folder as most programs would."""
    with contextlib.suppress(OSError):
        (directory / path).parent.rmdir()


def test_whoever_swaps_places_for_links_leads_nothing_out_of_the_target() -> None:
    report = attack(phases=1, phase_s=0.6, seed=SEED)

    assert report.is_clean, report.text()
    assert report.counts["escapes"] == 0
    assert report.counts["done"] > 20, report.text()
    assert report.counts["refused"] > 20, report.text()
    assert report.counts["swaps"] > 1000, report.text()


@pytest.mark.parametrize("name", ["put_file", "remove_file"])
def test_the_campaign_finds_files_that_are_named_by_their_paths(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    wrong = {"put_file": put_by_its_name, "remove_file": remove_by_its_name}[name]
    monkeypatch.setattr(swap, name, wrong)
    monkeypatch.setattr(materialize, name, wrong)

    report = attack(phases=1, phase_s=0.4, seed=SEED, stop_at="escapes")

    assert report.counts["escapes"] >= 1, report.text()


def test_the_campaign_finds_folders_that_are_named_by_their_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(materialize, "drop_folder", drop_by_its_name)

    report = attack(
        phases=100,
        phase_s=0.4,
        seed=SEED,
        places=("services",),
        actions=SETS_ONLY,
        stop_at="escapes",
    )

    assert report.counts["escapes"] >= 1, report.text()
