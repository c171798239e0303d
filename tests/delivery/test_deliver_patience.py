"""How long a delivery waits, for a busy Envoy and while something else has to be done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.deliver import deliver
from meshc.delivery.agent.haste import Haste
from meshc.delivery.agent.swap import read_files
from meshc.delivery.errors import AdminError, DeliveryError, EnvoyGoneError
from meshc.delivery.materialize import materialize
from tests.delivery.node_files import bundle
from tests.delivery.test_deliver import NEW, OLD, QUICK, FakeEnvoy, files_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from meshc.delivery.agent.admin import SubscriptionState
    from meshc.delivery.agent.configuration import Subscription


class BusyEnvoy(FakeEnvoy):
    """Gives no answer about subscriptions a few times, as while it applies a big file."""

    silent = 0

    def states(
        self, subscriptions: Iterable[Subscription]
    ) -> dict[Subscription, SubscriptionState]:
        if self.silent:
            self.silent -= 1
            raise AdminError("no complete answer in time")
        return super().states(subscriptions)


@pytest.fixture
def envoy(tmp_path: Path) -> BusyEnvoy:
    materialize(bundle(OLD), tmp_path)
    return BusyEnvoy(tmp_path)


def test_an_envoy_that_is_busy_before_a_step_is_waited_for(
    envoy: BusyEnvoy, tmp_path: Path
) -> None:
    envoy.silent = 3

    deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)

    assert read_files(tmp_path) == NEW


def test_an_envoy_that_is_gone_at_the_very_end_leaves_the_previous_files_whole(
    envoy: BusyEnvoy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that were removed already come back: what is put back refers to them."""
    deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)
    fewer = files_for("a", version="3")

    def versions() -> dict[str, str]:
        if "services/b/eds.json" not in read_files(tmp_path):
            raise EnvoyGoneError("nobody listens")
        return FakeEnvoy.versions(envoy)

    monkeypatch.setattr(envoy, "versions", versions)
    with pytest.raises(EnvoyGoneError) as caught:
        deliver(bundle(fewer), tmp_path, admin=envoy, patience=QUICK)

    assert caught.value.is_restored
    assert read_files(tmp_path) == NEW


def after(calls: int, haste: Haste) -> Callable[[], Haste]:
    """Be in a hurry once it was asked for so often."""
    left = calls

    def told() -> Haste:
        nonlocal left
        left -= 1
        return haste if left < 0 else Haste.NONE

    return told


def test_news_does_not_take_back_clusters_that_are_just_warming(
    envoy: BusyEnvoy, tmp_path: Path
) -> None:
    envoy.warms = 4
    patient = replace(QUICK, warm=30.0, warm_least=30.0)

    deliver(bundle(NEW), tmp_path, admin=envoy, patience=patient, haste=after(0, Haste.NEWS))

    assert read_files(tmp_path) == NEW


@pytest.mark.parametrize(
    ("haste", "warm_least"), [(Haste.NEWS, 0.0), (Haste.STOP, 30.0)], ids=["news", "stop"]
)
def test_clusters_that_do_not_get_warm_are_taken_back_when_something_else_waits(
    envoy: BusyEnvoy, tmp_path: Path, haste: Haste, warm_least: float
) -> None:
    envoy.warms = 1_000_000
    patient = replace(QUICK, warm=30.0, warm_least=warm_least)

    with pytest.raises(DeliveryError, match="still warming when something else had to be done"):
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=patient, haste=after(1, haste))

    assert read_files(tmp_path) == OLD
