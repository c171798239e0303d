"""An Envoy that has just said who it is need not say so again; an older word does not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent import probe as module
from meshc.delivery.agent.admin import AdminAddress, EnvoyAdmin, ServerInfo
from meshc.delivery.agent.probe import EnvoyProbe
from meshc.delivery.agent.settings import AgentSettings

if TYPE_CHECKING:
    from pathlib import Path

ADMIN = EnvoyAdmin(AdminAddress("127.0.46.1", 9901))
INFO = ServerInfo(node="n1", drain_time_s=60.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def probe(tmp_path: Path, clock: Clock) -> EnvoyProbe:
    settings = AgentSettings(node="n1", source="s", target=tmp_path, state=tmp_path / ".agent")
    probe = EnvoyProbe(settings)
    probe.info, probe.address, probe._seen_at = INFO, "127.0.46.1:9901", clock.now
    return probe


def test_what_an_envoy_said_seconds_ago_is_taken(probe: EnvoyProbe, clock: Clock) -> None:
    clock.now += 9

    assert probe.info_of(ADMIN) == INFO


def test_what_an_envoy_said_longer_ago_is_asked_again(probe: EnvoyProbe, clock: Clock) -> None:
    clock.now += 11

    assert probe.info_of(ADMIN) is None


def test_what_another_envoy_said_is_not_taken(probe: EnvoyProbe) -> None:
    assert probe.info_of(EnvoyAdmin(AdminAddress("127.0.46.1", 9902))) is None


def test_an_envoy_that_did_not_answer_the_last_time_is_asked_again(probe: EnvoyProbe) -> None:
    probe.info = None

    assert probe.info_of(ADMIN) is None
