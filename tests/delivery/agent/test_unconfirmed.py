"""Delivery without asking Envoy: the order of the files, and the waiting between them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent import unconfirmed
from meshc.delivery.agent.haste import Haste, unhurried
from meshc.delivery.agent.swap import put_file, remove_file
from meshc.delivery.agent.unconfirmed import deliver_unconfirmed, drain_time_s
from meshc.delivery.errors import DeliveryError
from meshc.delivery.materialize import materialize
from tests.delivery.agent.resident import lying, numbered
from tests.delivery.node_files import bundle, identities

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.deliver import DeliveryResult

OLD = numbered(1, services=("a", "b"))
NEW = numbered(2, services=("b", "c"))


class Recorder:
    """Writes down what happens instead of waiting."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.fails_at = ""
        patch.setattr(unconfirmed, "put_file", self.put)
        patch.setattr(unconfirmed, "remove_file", self.remove)
        patch.setattr(unconfirmed, "_wait", self.wait)

    def put(self, directory: Path, path: str, data: bytes) -> None:
        if self.fails_at == path:
            self.fails_at = ""
            raise DeliveryError("no space")
        self.done.append(path)
        put_file(directory, path, data)

    def remove(self, directory: Path, path: str) -> None:
        self.done.append(f"without {path}")
        remove_file(directory, path)

    def wait(self, seconds: float, haste: Callable[[], Haste]) -> bool:
        if seconds:
            self.done.append(f"{seconds:g} s")
        return haste() is Haste.NONE


@pytest.fixture
def target(tmp_path: Path) -> Path:
    materialize(bundle(OLD), tmp_path / "target")
    return tmp_path / "target"


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(monkeypatch)


def drained(files: dict[str, bytes], drain_time: str = "60s") -> NodeBundle:
    return dataclasses.replace(bundle(files), drain_time=drain_time)


def deliver(target: Path, haste: Callable[[], Haste] = unhurried) -> DeliveryResult:
    return deliver_unconfirmed(drained(NEW), target, wait_s=2.0, haste=haste)


def test_what_is_needed_comes_before_what_needs_it_and_goes_after_it(
    target: Path, recorder: Recorder
) -> None:
    deliver(target)

    done = [one for one in recorder.done if not one.endswith(" s")]
    assert done.index("services/c/eds.json") < done.index("cds.json")
    assert done.index("cds.json") < done.index("lds.json")
    last_clusters = len(done) - 1 - done[::-1].index("cds.json")
    assert done.index("lds.json") < last_clusters < done.index("without services/a/eds.json")
    assert lying(target) == NEW


def test_every_watched_file_is_given_its_time(target: Path, recorder: Recorder) -> None:
    deliver(target)

    for place, step in enumerate(recorder.done):
        if step in {"cds.json", "lds.json", "services/b/eds.json"}:
            assert recorder.done[place + 1] == "2 s", recorder.done


def test_clusters_go_when_the_listeners_must_have_drained(target: Path, recorder: Recorder) -> None:
    deliver(target)

    place = recorder.done.index("65 s")
    assert "lds.json" not in recorder.done[place:]
    assert "cds.json" in recorder.done[place:]


def test_in_a_hurry_the_old_clusters_stay_for_later(target: Path, recorder: Recorder) -> None:
    result = deliver(target, lambda: Haste.NEWS)

    assert result.left_clusters == ("a",)
    assert b'"a"' in lying(target)["cds.json"]
    assert lying(target)["lds.json"] == NEW["lds.json"]
    assert "without services/a/eds.json" not in recorder.done


def test_told_to_end_it_stops_between_two_steps_and_takes_nothing_back(
    target: Path, recorder: Recorder
) -> None:
    """The next start finds a set in order, and an intent to end it."""
    with pytest.raises(DeliveryError, match="its next start goes on") as caught:
        deliver(target, lambda: Haste.STOP if "cds.json" in recorder.done else Haste.NONE)

    assert not caught.value.is_restored
    assert recorder.done[-2:] == ["cds.json", "2 s"]
    assert lying(target)["lds.json"] == OLD["lds.json"]


@pytest.mark.parametrize("path", ["services/b/eds.json", "services/c/eds.json", "lds.json"])
def test_where_the_disk_refuses_the_old_files_come_back(
    target: Path, recorder: Recorder, path: str
) -> None:
    recorder.fails_at = path

    with pytest.raises(DeliveryError, match="no space") as caught:
        deliver(target)

    assert caught.value.is_restored
    found = lying(target)
    assert {name: found[name] for name in OLD} == OLD


def test_the_same_set_again_touches_nothing(target: Path, recorder: Recorder) -> None:
    before = identities(target)

    result = deliver_unconfirmed(drained(OLD), target, wait_s=2.0)

    assert not result.has_changed
    assert recorder.done == []
    assert identities(target) == before


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60.0),
        ("0.5s", 0.5),
        ("0s", 0.0),
        ("", 600.0),
        ("soon", 600.0),
        ("-5s", 600.0),
        ("nan", 600.0),
        ("infs", 600.0),
    ],
)
def test_a_drain_time_that_makes_no_sense_is_the_longest_usual_one(
    text: str, seconds: float
) -> None:
    assert drain_time_s(drained(NEW, text)) == seconds
