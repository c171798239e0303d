"""An agent whose memory, or whose target, was damaged: it starts, and takes nothing away."""

from __future__ import annotations

import io
import json
import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshc.delivery.agent.run import Agent
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.verdict import Verdict
from meshc.delivery.log import Log
from tests.delivery.agent.resident import Files, lying, numbered, publish

if TYPE_CHECKING:
    from pathlib import Path

_LISTS, _FILES = "a list", "a file"
_STATE = ("ledger.json", "history.jsonl", "status.json", _LISTS, _FILES)
_FIXED = {"empty": b"", "null": b"null", "too deep": b"[" * 100_000}
_DAMAGES = ("empty", "zeros", "random", "cut", "flipped", "too deep", "null")


def damaged(how: str, data: bytes, draw: random.Random) -> bytes:
    match how:
        case "zeros":
            return bytes(len(data))
        case "random":
            return draw.randbytes(max(16, len(data)))
        case "cut":
            return data[: draw.randrange(len(data))]
        case "flipped":
            place = draw.randrange(len(data))
            return data[:place] + bytes([data[place] ^ 0x20]) + data[place + 1 :]
        case _:
            return _FIXED[how]


class Place:
    """A target with three generations delivered, and its source."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out, self.target = root / "out", root / "target"
        self.state = self.target / ".agent"
        self.log = io.StringIO()

    def once(self, **more: Any) -> Verdict:
        settings_ = AgentSettings(
            node="n1",
            source=str(self.out),
            target=self.target,
            state=self.state,
            unconfirmed=True,
            unconfirmed_wait=0.0,
            envoy="none",
            **more,
        )
        with Agent(settings_, Log(self.log, is_json=True), is_resident=False) as agent:
            return agent.once()

    def deliver(self, number: int) -> Files:
        publish(self.out, numbered(number))
        assert self.once() is Verdict.DONE
        assert lying(self.target) == numbered(number)
        return numbered(number)

    def kept(self, name: str, draw: random.Random) -> list[Path]:
        ends = {_LISTS: "generations/*.json", _FILES: "generations/*.file"}
        found = sorted(self.state.glob(ends.get(name, name)))
        return [draw.choice(found)] if found else []

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host to begin with, which every test gets a copy of."""
    place = Place(tmp_path_factory.mktemp("model"))
    for number in range(3):
        place.deliver(number)
    return place.root


@pytest.fixture
def place(model: Path, tmp_path: Path) -> Place:
    return fresh(model, tmp_path / "host")


def fresh(model: Path, root: Path) -> Place:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(model, root)
    return Place(root)


@pytest.mark.parametrize("damage", _DAMAGES)
@pytest.mark.parametrize("name", _STATE)
def test_with_damaged_memory_the_next_generation_is_delivered_all_the_same(
    place: Place, name: str, damage: str
) -> None:
    draw = random.Random(f"{name} {damage}")
    for path in place.kept(name, draw):
        path.write_bytes(damaged(damage, path.read_bytes(), draw))

    place.deliver(7)

    assert place.said("internal error") == []


@pytest.mark.parametrize("damage", _DAMAGES)
@pytest.mark.parametrize("name", _STATE)
def test_with_damaged_memory_and_no_source_what_lies_there_stays(
    place: Place, name: str, damage: str
) -> None:
    draw = random.Random(f"{name} {damage}")
    for path in place.kept(name, draw):
        path.write_bytes(damaged(damage, path.read_bytes(), draw))
    shutil.rmtree(place.out)
    before = lying(place.target)

    verdict = place.once()

    assert verdict is Verdict.WORLD
    assert lying(place.target) == before
    assert place.said("internal error") == []


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_with_any_mixture_of_damages_it_starts_and_ends_on_the_newest(
    model: Path, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    place = fresh(model, tmp_path / "host")
    paths = [path for path in sorted(place.target.rglob("*")) if path.is_file()]
    for path in draw.sample(paths, draw.randrange(1, len(paths))):
        if draw.random() < 0.2:
            path.unlink()
        elif data := path.read_bytes():
            path.write_bytes(damaged(draw.choice(_DAMAGES), data, draw))

    publish(place.out, numbered(9))
    verdict = place.once(allow_shrink=True)

    assert verdict is Verdict.DONE
    assert lying(place.target) == numbered(9)
    assert place.said("internal error") == []


@pytest.mark.parametrize("damage", ["empty", "zeros", "random", "cut", "flipped"])
def test_a_lost_ledger_is_said_and_the_next_start_has_a_good_one(place: Place, damage: str) -> None:
    path = place.state / "ledger.json"
    path.write_bytes(damaged(damage, path.read_bytes(), random.Random(damage)))

    first = place.once()
    lost = place.said("memory lost")
    place.log = io.StringIO()
    second = place.once()

    assert (first, second) == (Verdict.DONE, Verdict.DONE)
    assert len(lost) == 1
    assert lost[0]["level"] == "warning"
    assert str(path) in lost[0]["file"]
    assert place.said("memory lost") == []


def test_after_a_lost_ledger_what_lies_there_is_the_good_one_again(place: Place) -> None:
    before = json.loads((place.state / "ledger.json").read_bytes())["ledger"]["good"]
    (place.state / "ledger.json").unlink()
    shutil.rmtree(place.out)

    place.once()

    assert json.loads((place.state / "ledger.json").read_bytes())["ledger"]["good"] == before


def test_without_any_memory_the_target_is_adopted_and_followed(place: Place) -> None:
    shutil.rmtree(place.state)

    place.deliver(5)

    names = [path.name for path in (place.state / "generations").glob("*.json")]
    assert len(names) == 2  # what was found, to go back to, and what was delivered


def test_memory_of_another_node_is_not_mistaken_for_ones_own(place: Place, tmp_path: Path) -> None:
    other = Place(tmp_path / "other")
    shutil.copytree(place.state, other.state)
    publish(other.out, numbered(1))

    verdict = other.once()

    assert verdict is Verdict.DONE
    assert lying(other.target) == numbered(1)


@pytest.mark.parametrize(
    "path", ["bootstrap.json", "cds.json", "lds.json", "services/app/eds.json"]
)
@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_target_is_mended_from_memory_without_any_source(
    place: Place, path: str, damage: str
) -> None:
    whole = lying(place.target)
    shutil.rmtree(place.out)
    draw = random.Random(f"{path} {damage}")
    (place.target / path).write_bytes(damaged(damage, whole[path], draw))

    place.once()

    assert lying(place.target) == whole
    assert place.said("internal error") == []


@pytest.mark.parametrize("name", ["generations", "control"])
def test_a_file_in_the_place_of_a_folder_is_no_traceback(place: Place, name: str) -> None:
    shutil.rmtree(place.state / name)
    (place.state / name).write_bytes(b"")
    before = lying(place.target)

    said = ""
    try:
        place.once()
    except Exception as error:  # noqa: BLE001, its kind is what is tested
        said = type(error).__name__

    assert said in {"", "DeliveryError"}
    assert lying(place.target) == before
