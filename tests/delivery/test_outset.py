"""What a delivery takes over from a look just before it, and what it looks at again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent import confirm, outset
from meshc.delivery.agent.configuration import Subscription
from meshc.delivery.agent.confirm import Baseline
from meshc.delivery.agent.deliver import deliver
from meshc.delivery.agent.outset import survey
from meshc.delivery.agent.swap import put_file, read_files
from meshc.delivery.errors import AdminError, RefusedError
from meshc.delivery.materialize import materialize
from tests.delivery.node_files import bundle, identities
from tests.delivery.test_deliver import NEW, OLD, QUICK, FakeEnvoy, files_for

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from meshc.delivery.agent.admin import SubscriptionState

CDS, LDS = Subscription("cluster_manager.cds."), Subscription("listener_manager.lds.")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class CountingEnvoy(FakeEnvoy):
    """Keeps what it was asked for by counters, and may give ``silent`` such answers less."""

    silent = 0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.asked: list[list[str]] = []

    def states(
        self, subscriptions: Iterable[Subscription]
    ) -> dict[Subscription, SubscriptionState]:
        names = list(subscriptions)
        self.asked.append([str(name) for name in names])
        if self.silent:
            self.silent -= 1
            raise AdminError("no complete answer in time")
        return super().states(names)


@pytest.fixture
def envoy(tmp_path: Path) -> CountingEnvoy:
    materialize(bundle(OLD), tmp_path)
    return CountingEnvoy(tmp_path)


def test_a_look_changes_nothing(envoy: CountingEnvoy, tmp_path: Path) -> None:
    before = identities(tmp_path)

    survey(bundle(NEW), tmp_path, admin=envoy)

    assert identities(tmp_path) == before
    assert envoy.read == []


def test_a_delivery_asks_for_all_its_counters_at_once(envoy: CountingEnvoy, tmp_path: Path) -> None:
    deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)

    assert envoy.asked == [[CDS, LDS]]


def test_what_was_seen_just_before_is_not_asked_again(
    envoy: CountingEnvoy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = survey(bundle(NEW), tmp_path, admin=envoy)
    envoy.asked.clear()
    monkeypatch.setattr(outset, "read_files", lambda _directory: pytest.fail("read once more"))

    deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK, outset=seen)

    assert envoy.asked == []
    assert read_files(tmp_path) == NEW


def test_a_look_from_before_somebody_changed_a_file_does_not_count(
    envoy: CountingEnvoy, tmp_path: Path
) -> None:
    seen = survey(bundle(NEW), tmp_path, admin=envoy)
    put_file(tmp_path, "services/a/rds-outbound.json", OLD["services/a/eds.json"])

    deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK, outset=seen)

    assert read_files(tmp_path) == NEW


def test_a_look_from_before_a_file_was_written_to_in_place_does_not_count(
    envoy: CountingEnvoy, tmp_path: Path
) -> None:
    path = tmp_path / "services/a/rds-outbound.json"
    long_ago = path.stat().st_mtime_ns - 10**9
    os.utime(path, ns=(long_ago, long_ago))
    seen = survey(bundle(NEW), tmp_path, admin=envoy)
    path.write_bytes(path.read_bytes().replace(b"r-a", b"r-z"))

    deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK, outset=seen)

    assert read_files(tmp_path) == NEW


def test_a_look_from_long_before_does_not_count(
    envoy: CountingEnvoy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(outset, "time", clock)
    seen = survey(bundle(NEW), tmp_path, admin=envoy)
    clock.now += 1.1
    envoy.node = "n2"

    with pytest.raises(Exception, match='is node "n2"'):
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK, outset=seen)
    assert read_files(tmp_path) == OLD


def test_a_rename_that_is_made_again_is_judged_by_what_was_counted_until_then(
    envoy: CountingEnvoy, tmp_path: Path
) -> None:
    envoy.blind = 1

    deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)

    assert envoy.asked[0] == [CDS, LDS]
    assert [CDS] in envoy.asked[1:]
    assert [LDS] in envoy.asked[1:]


def test_a_refusal_from_before_a_delivery_is_not_put_down_to_it(
    envoy: CountingEnvoy, tmp_path: Path
) -> None:
    envoy.refuses = {"cds-2"}
    with pytest.raises(RefusedError):
        deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)

    deliver(bundle(files_for("a", "b", version="3")), tmp_path, admin=envoy, patience=QUICK)

    assert read_files(tmp_path) == files_for("a", "b", version="3")


def test_an_envoy_that_is_busy_is_asked_before_each_rename(
    envoy: CountingEnvoy, tmp_path: Path
) -> None:
    envoy.silent = 1

    deliver(bundle(NEW), tmp_path, admin=envoy, patience=QUICK)

    assert envoy.asked == [[CDS, LDS], [CDS], [LDS]]


def test_what_was_counted_is_good_for_one_rename(envoy: CountingEnvoy) -> None:
    baseline = Baseline.of(envoy, [CDS, LDS])

    assert baseline.take([CDS]) == envoy.states([CDS])
    assert baseline.take([CDS]) is None
    assert baseline.take([LDS, CDS]) is None


def test_what_was_counted_a_second_ago_is_counted_again(
    envoy: CountingEnvoy, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(confirm, "time", clock)
    baseline = Baseline.of(envoy, [CDS])
    clock.now += 1.1

    assert baseline.take([CDS]) is None


def test_a_subscription_that_envoy_does_not_know_is_known_to_be_none(envoy: CountingEnvoy) -> None:
    gone = Subscription("cluster.gone.")

    assert Baseline.of(envoy, [gone]).take([gone]) == {}


def test_thousands_of_subscriptions_are_not_put_into_one_question(envoy: CountingEnvoy) -> None:
    names = [Subscription(f"cluster.c{number}.") for number in range(5000)]

    baseline = Baseline.of(envoy, names)

    assert envoy.asked == []
    assert baseline.take(names[:1]) is None
