"""Endpoints of the moment in the agent's work: guards, what lies on disk, a Consul that is gone."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent import events as ev
from meshc.delivery.agent.endpoints import Endpoints
from meshc.delivery.agent.generations import Generations, digests_of, generation_of
from meshc.delivery.agent.haste import unhurried
from meshc.delivery.agent.jobs import Jobs
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import open_source
from meshc.delivery.errors import DeliveryError
from meshc.delivery.materialize import materialize
from tests.consul.model import hang_up
from tests.delivery.health.entries import addresses, entry, file, rule
from tests.delivery.health.test_follower import HealthModel
from tests.delivery.node_files import bundle, eds_cluster, node_files, source, tcp_listener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshc.artifact.store import NodeBundle

PATH = "services/app/eds@front.json"
NODE = "n1"


@pytest.fixture
def model() -> Iterator[HealthModel]:
    with HealthModel() as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path, model: HealthModel) -> AgentSettings:
    (tmp_path / "target").mkdir()
    return AgentSettings(
        node=NODE,
        source=str(tmp_path / "out"),
        target=tmp_path / "target",
        state=tmp_path / "state",
        envoy="none",
        consul_address=model.address,
        consul_timeout=2.0,
    )


class Host:
    """The agent's jobs on a target, without an Envoy and without anything that follows."""

    def __init__(self, settings: AgentSettings) -> None:
        self.settings = settings
        self.store = Generations(settings.state, NODE)
        settings.state.mkdir(exist_ok=True)
        self.store.prepare()
        self.endpoints = Endpoints(settings, self.store)
        held = self.store.file
        self.jobs = Jobs(
            settings, self.store, open_source(settings, held), unhurried, self.endpoints
        )

    def runs(self, built: NodeBundle) -> str:
        """Let a build be what Envoy runs, with the endpoints of this moment."""
        generation = self.store.add(built, fetched=1.0)
        materialize(self.endpoints.of(built), self.settings.target)
        self.endpoints.delivered()
        self.jobs.probe.good = generation
        return generation

    def check(self, built: NodeBundle) -> ev.Event:
        return self.jobs.run(ev.Check(self.store.add(built, fetched=2.0)))

    def on_disk(self) -> dict[str, bytes]:
        root = self.settings.target
        return {
            path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.json")
        }


@pytest.fixture
def host(settings: AgentSettings) -> Iterator[Host]:
    found = Host(settings)
    yield found
    found.endpoints.close()


def a_build(hosts: int, panic: int = 50) -> NodeBundle:
    cluster = eds_cluster("outbound/app@front", "app")
    cluster["eds_cluster_config"] = {"eds_config": source(PATH), "service_name": "app@front"}
    files = node_files(
        listeners=[tcp_listener("in", ("10.0.0.9", 80), "outbound/app@front")],
        clusters=[cluster],
        shared={
            "app/eds@front.json": file(*[f"10.0.0.{n}" for n in range(1, hosts + 1)]),
            "app/health@front.json": rule(panic).to_bytes(),
        },
    )
    return bundle(files, NODE)


def passing(model: HealthModel, *numbers: int) -> None:
    model.entries = [entry(f"10.0.0.{number}") for number in numbers]


def test_a_bundle_gets_the_endpoints_of_the_moment_and_nothing_else_changes(
    host: Host, model: HealthModel
) -> None:
    built = a_build(3)
    passing(model, 1, 3)

    found = host.endpoints.of(built)

    assert addresses(found.files[PATH]) == ["10.0.0.1:80", "10.0.0.3:80"]
    assert {path for path, data in found.files.items() if data != built.files[path]} == {PATH}


def test_narrowing_within_the_threshold_is_not_held_and_no_guard_is_weaker(
    host: Host, model: HealthModel
) -> None:
    """Five of ten pass.  A build of nine loses a tenth of a build of ten, one of four too much."""
    passing(model, 1, 2, 3, 4, 5)
    host.runs(a_build(10))
    assert len(addresses(host.on_disk()[PATH])) == 5

    fewer = host.check(a_build(9))
    too_few = host.check(a_build(4))

    assert isinstance(fewer, ev.Passed)
    assert isinstance(too_few, ev.Held)
    assert too_few.reason == "endpoints shrink from 10 to 4, by 60%; allowed are 30%"


def test_what_lies_on_disk_is_known_as_the_build_that_it_was_made_of(
    host: Host, model: HealthModel
) -> None:
    built = a_build(4)
    passing(model, 1, 2)
    generation = host.runs(built)

    as_built = host.endpoints.as_built(host.on_disk(), generation)

    assert as_built == built.files
    assert generation_of(digests_of(as_built)) == generation


def test_of_another_hand_it_is_not_known_as_that(host: Host, model: HealthModel) -> None:
    passing(model, 1, 2)
    generation = host.runs(a_build(4))
    place = host.settings.target / PATH
    place.write_bytes(place.read_bytes().replace(b"h-10.0.0.1", b"h-10.0.0.x"))

    as_built = host.endpoints.as_built(host.on_disk(), generation)

    assert as_built[PATH] == place.read_bytes()


def test_another_agent_goes_on_with_what_lies_there_while_consul_is_gone(
    settings: AgentSettings, model: HealthModel
) -> None:
    passing(model, 1, 2)
    first = Host(settings)
    generation = first.runs(a_build(4))
    first.endpoints.close()
    model.always = hang_up

    second = Host(settings)
    second.endpoints.take_up(generation)
    found = second.endpoints.of(a_build(5))

    assert addresses(found.files[PATH]) == [f"10.0.0.{n}:80" for n in range(1, 6)]  # 2 of 5: panic
    assert addresses(second.endpoints.of(a_build(4)).files[PATH]) == ["10.0.0.1:80", "10.0.0.2:80"]
    as_built = second.endpoints.as_built(second.on_disk(), generation)
    assert generation_of(digests_of(as_built)) == generation
    (shown,) = second.endpoints.described()
    assert (shown["used"], shown["passing"]) == (2, None)
    assert "does not answer" in shown["problem"]
    second.endpoints.close()


def test_endpoints_that_envoy_refuses_are_not_chosen_again(host: Host, model: HealthModel) -> None:
    built = a_build(4)
    passing(model, 1, 2, 3)
    host.runs(built)
    passing(model, 1, 2)
    host.endpoints.of(built)

    assert host.endpoints.refuse(PATH, built)

    assert len(addresses(host.endpoints.of(built).files[PATH])) == 3
    passing(model, 1, 4)
    assert addresses(host.endpoints.of(built).files[PATH]) == ["10.0.0.1:80", "10.0.0.4:80"]


def test_what_the_build_itself_has_is_refused_as_the_builds(host: Host, model: HealthModel) -> None:
    built = a_build(2)
    passing(model, 1, 2)
    host.endpoints.of(built)

    assert not host.endpoints.refuse(PATH, built)
    assert not host.endpoints.refuse("cds.json", built)


@pytest.mark.parametrize("data", [b"{}", rule(50).to_bytes().replace(b"front", b"other")])
def test_a_build_with_a_damaged_rule_is_rejected(host: Host, data: bytes) -> None:
    built = a_build(2)
    wrong = bundle({**built.files, rule().path: data}, NODE)

    found = host.check(wrong)

    assert isinstance(found, ev.Rejected)
    assert "damaged" in found.refusal.reason


def test_a_rule_without_its_endpoints_is_refused(host: Host) -> None:
    built = a_build(2)
    files = {path: data for path, data in built.files.items() if path != PATH}

    with pytest.raises(DeliveryError, match="and not"):
        host.endpoints.of(bundle(files, NODE))


def test_without_rules_nothing_is_followed_any_more(host: Host, model: HealthModel) -> None:
    host.runs(a_build(2))
    assert host.endpoints.described()
    asked = len(model.questions)

    plain = {path: data for path, data in a_build(2).files.items() if path != rule().path}
    host.runs(bundle(plain, NODE))

    assert host.endpoints.described() == []
    assert len(model.questions) == asked


def test_settings_that_lead_to_no_consul_are_told_and_stop_nothing(
    settings: AgentSettings,
) -> None:
    host = Host(replace(settings, consul_address="ftp://nowhere"))

    found = host.endpoints.of(a_build(2))
    host.endpoints.delivered()

    assert found.files == a_build(2).files
    assert "is no address of Consul" in host.endpoints.described()[0]["problem"]


_WITHOUT_RULES = """
import sys
from pathlib import Path
from meshc.artifact.store import NodeBundle
from meshc.delivery.agent.endpoints import Endpoints
from meshc.delivery.agent.generations import Generations
from meshc.delivery.agent.run import Agent
from meshc.delivery.agent.settings import AgentSettings
folder = Path(sys.argv[1])
settings = AgentSettings(node="n", source=str(folder), target=folder, state=folder / "s")
endpoints = Endpoints(settings, Generations(settings.state, "n"), print)
bundle = NodeBundle(node="n", generation="g", files={"services/app/eds@front.json": b""})
assert endpoints.of(bundle) is bundle
endpoints.delivered()
print(sorted(name for name in sys.modules if "consul" in name or "agent.health" in name))
"""


def test_without_rules_nothing_of_it_is_imported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_RULES, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_what_is_shown_can_be_written_as_json(host: Host, model: HealthModel) -> None:
    passing(model, 1)
    host.runs(a_build(2))

    shown = json.loads(json.dumps(host.endpoints.described()))

    assert shown == host.endpoints.described()
