"""While the beginning of a delivery is written down, the agent looks at what it will start from."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Never

import pytest

from meshc.delivery.agent import events as ev
from meshc.delivery.agent import outset
from meshc.delivery.agent.endpoints import Endpoints
from meshc.delivery.agent.generations import Generations, digests_of, generation_of
from meshc.delivery.agent.haste import unhurried
from meshc.delivery.agent.jobs import Jobs
from meshc.delivery.agent.run import Agent
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import open_source
from meshc.delivery.agent.status import read_status
from meshc.delivery.agent.swap import put_file, read_files
from meshc.delivery.agent.worker import look_ahead
from meshc.delivery.errors import EnvoyGoneError
from meshc.delivery.log import Log
from meshc.delivery.materialize import materialize
from tests.delivery.agent.resident import publish
from tests.delivery.node_files import bundle, identities
from tests.delivery.test_deliver import NEW, OLD, FakeEnvoy

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.delivery.agent.admin import ServerInfo

GENERATION = generation_of(digests_of(NEW))


class ToldEnvoy(FakeEnvoy):
    """Counts how often it was asked who it is; ``gone`` times it does not answer."""

    asked = 0
    gone = 0

    def server_info(self) -> ServerInfo:
        self.asked += 1
        if self.gone:
            self.gone -= 1
            raise EnvoyGoneError("nobody listens")
        return super().server_info()


@pytest.fixture
def settings(tmp_path: Path) -> AgentSettings:
    publish(tmp_path / "out", NEW)
    materialize(bundle(OLD), tmp_path / "target")
    return AgentSettings(
        node="n1",
        source=str(tmp_path / "out"),
        target=tmp_path / "target",
        state=tmp_path / "state",
        envoy="none",
        metrics="none",
    )


@pytest.fixture
def envoy(settings: AgentSettings) -> ToldEnvoy:
    return ToldEnvoy(settings.target)


@pytest.fixture
def jobs(settings: AgentSettings, envoy: ToldEnvoy, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """With a generation that was fetched and may be delivered."""
    store = Generations(settings.state, "n1")
    store.prepare()
    source = open_source(settings, store.file)
    jobs = Jobs(settings, store, source, unhurried, Endpoints(settings, store))
    monkeypatch.setattr(jobs.probe, "admin", lambda _bootstrap: envoy)
    assert isinstance(jobs.run(ev.Fetch(known=None)), ev.Fetched)
    assert isinstance(jobs.run(ev.Check(GENERATION)), ev.Passed)
    return jobs


def test_a_look_ahead_changes_nothing_and_is_taken_over_by_the_delivery(
    jobs: Jobs, settings: AgentSettings, envoy: ToldEnvoy, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identities(settings.target)
    jobs.look_ahead(GENERATION)
    after = identities(settings.target)
    monkeypatch.setattr(outset, "read_files", lambda _directory: pytest.fail("read once more"))

    delivered = jobs.run(ev.Deliver(generation=GENERATION))

    assert after == before
    assert isinstance(delivered, ev.Delivered)
    assert delivered.is_accepted
    assert envoy.asked == 1
    assert read_files(settings.target) == NEW


def test_what_was_changed_since_the_look_ahead_is_put_right(
    jobs: Jobs, settings: AgentSettings
) -> None:
    jobs.look_ahead(GENERATION)
    put_file(settings.target, "services/a/eds.json", OLD["services/a/rds-outbound.json"])

    delivered = jobs.run(ev.Deliver(generation=GENERATION))

    assert isinstance(delivered, ev.Delivered)
    assert read_files(settings.target) == NEW


def test_a_target_that_was_lost_since_the_look_ahead_is_laid_out(
    jobs: Jobs, settings: AgentSettings
) -> None:
    jobs.look_ahead(GENERATION)
    (settings.target / "lds.json").unlink()

    delivered = jobs.run(ev.Deliver(generation=GENERATION))

    assert isinstance(delivered, ev.Delivered)
    assert not delivered.is_accepted
    assert read_files(settings.target) == NEW


def test_a_look_ahead_that_fails_is_left_to_the_delivery(
    jobs: Jobs, settings: AgentSettings, envoy: ToldEnvoy
) -> None:
    envoy.gone = 1
    jobs.look_ahead(GENERATION)

    delivered = jobs.run(ev.Deliver(generation=GENERATION))

    assert isinstance(delivered, ev.Delivered)
    assert read_files(settings.target) == NEW


def test_a_mistake_in_a_look_ahead_is_told_and_ends_nothing(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.StringIO()

    def stumble(_generation: str) -> Never:
        raise IndexError

    monkeypatch.setattr(jobs, "look_ahead", stumble)

    look_ahead(jobs, GENERATION, Log(said))

    assert "internal error" in said.getvalue()
    assert "IndexError" in said.getvalue()


def test_a_delivery_that_is_not_the_one_looked_ahead_for_starts_from_its_own_look(
    jobs: Jobs, settings: AgentSettings
) -> None:
    store = Generations(settings.state, "n1")
    other = store.add(bundle(OLD), fetched=1.0)
    jobs.look_ahead(GENERATION)

    delivered = jobs.run(ev.Deliver(generation=other))

    assert isinstance(delivered, ev.Delivered)
    assert read_files(settings.target) == OLD


def test_the_status_says_that_a_delivery_has_begun_before_anything_moves(
    settings: AgentSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    act = Agent._act

    def look_and_act(agent: Agent, action: ev.Action) -> None:
        if isinstance(action, ev.Deliver):
            said.append((read_status(settings.state) or {}).get("delivering"))
        act(agent, action)

    monkeypatch.setattr(Agent, "_act", look_and_act)
    quick = replace(settings, unconfirmed=True, unconfirmed_wait=0.0)
    with Agent(quick, Log(io.StringIO()), is_resident=False) as agent:
        agent.once()

    assert read_files(settings.target) == NEW
    assert [one["generation"] if isinstance(one, dict) else None for one in said] == [GENERATION]
