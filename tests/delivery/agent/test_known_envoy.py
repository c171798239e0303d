"""An Envoy that has just said who it is need not say so again; an older word does not count."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent import probe as module
from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin, ServerInfo
from meshc.delivery.agent.probe import EnvoyProbe
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.errors import AdminError
from meshc.delivery.materialize import materialize
from tests.delivery.node_files import bundle
from tests.delivery.test_deliver import OLD, FakeEnvoy

if TYPE_CHECKING:
    from pathlib import Path

INFO = ServerInfo(node="n1", drain_time_s=0.05)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class TalkingEnvoy(FakeEnvoy):
    """Says who it is, until it is told to be ``silent``."""

    silent = False
    started = (0, 0)

    def server_info(self) -> ServerInfo:
        if self.silent:
            raise AdminError("no complete answer in time")
        return replace(super().server_info(), started=self.started)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def envoy(tmp_path: Path) -> TalkingEnvoy:
    materialize(bundle(OLD), tmp_path)
    return TalkingEnvoy(tmp_path)


@pytest.fixture
def probe(
    tmp_path: Path, clock: Clock, envoy: TalkingEnvoy, monkeypatch: pytest.MonkeyPatch
) -> EnvoyProbe:
    """A probe that has looked just now."""
    settings = AgentSettings(node="n1", source="s", target=tmp_path, state=tmp_path / ".agent")
    probe = EnvoyProbe(settings)
    monkeypatch.setattr(probe, "admin", lambda _bootstrap: envoy)
    assert probe.look().at == clock.now
    return probe


def test_what_an_envoy_said_seconds_ago_is_taken(
    probe: EnvoyProbe, clock: Clock, envoy: TalkingEnvoy
) -> None:
    clock.now += 9

    assert probe.info_of(envoy) == INFO


def test_what_an_envoy_said_longer_ago_is_asked_again(
    probe: EnvoyProbe, clock: Clock, envoy: TalkingEnvoy
) -> None:
    clock.now += 11

    assert probe.info_of(envoy) is None


def test_what_another_envoy_said_is_not_taken(probe: EnvoyProbe) -> None:
    assert probe.info_of(EnvoyAdmin(AdminAddress("fake", 2))) is None


def test_an_envoy_that_did_not_answer_the_last_time_is_asked_again(
    probe: EnvoyProbe, envoy: TalkingEnvoy
) -> None:
    envoy.silent = True
    probe.look()

    assert probe.info_of(envoy) is None


@pytest.mark.parametrize(
    ("started", "is_another"),
    [
        pytest.param((0, 0), False, id="the same second"),
        pytest.param((0, 2), False, id="perhaps later, the answer took long"),
        pytest.param((1, 1), True, id="later"),
    ],
)
def test_an_envoy_that_started_later_is_another_one(
    probe: EnvoyProbe, envoy: TalkingEnvoy, started: tuple[int, int], *, is_another: bool
) -> None:
    envoy.silent = True
    probe.look()
    envoy.silent, envoy.started = False, started

    assert probe.look().is_restarted is is_another
