"""Walks of random clients, the short form; `make campaign ARGS=walks` takes a million steps."""

from __future__ import annotations

import random

import pytest

from tests.campaigns import walks as campaign
from tests.delivery.xds import walks
from tests.delivery.xds.streams import RELEASE_S
from tests.delivery.xds.walks import STEPS, TYPES, Walker, random_state, walk

pytestmark = pytest.mark.property

_WALKS = 150


@pytest.mark.conforms("nack", "make-before-break")
@pytest.mark.parametrize("is_delta", [False, True], ids=["whole", "delta"])
def test_every_walk_ends_with_what_is_wanted_or_was_refused(*, is_delta: bool) -> None:
    for seed in range(_WALKS):
        walk(seed, is_delta=is_delta)


def test_the_campaign_counts_steps_and_names_the_walks_that_end_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = campaign.run(count=4 * STEPS, seed=7)
    assert report.is_clean, report.text()
    assert report.counts["steps"] == 4 * STEPS

    monkeypatch.setattr(walks.Walker, "wanted", lambda _walker, _type: {"e-a": "9"})
    found = campaign.run(count=2 * STEPS, seed=7)

    assert [line.partition(":")[0] for line in found.violations] == [
        "walk 7, state of the world",
        "walk 7, delta",
    ]


@pytest.mark.conforms("nack")
@pytest.mark.parametrize("is_delta", [False, True], ids=["whole", "delta"])
def test_a_client_that_refuses_everything_is_left_alone(*, is_delta: bool) -> None:
    for seed in range(_WALKS // 3):
        luck = random.Random(seed)
        walker = Walker(luck, is_delta, random_state(luck))
        for type_url in TYPES:
            walker.ask(type_url)
        for _ in range(20):
            while walker.waiting:
                walker.answer(min(walker.waiting), is_accepted=False)
            walker.receive(walker.client.wait(RELEASE_S))

        assert not walker.waiting
        assert walker.received <= 2 * len(TYPES), seed
