"""The agent's benchmark measures what it says: both ways bring the same change under one Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.agent import _processor_s, _resident_mib
from benchmarks.agent_host import NODE, AgentHost
from benchmarks.measure import Figure
from meshc.artifact.store import DirectoryStore
from meshc.delivery.agent.swap import read_files
from tests.delivery.live import envoy_or_skip

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.envoy
def test_agent_and_bare_script_bring_the_same_files_under_the_same_envoy(tmp_path: Path) -> None:
    envoy_or_skip()
    with AgentHost(tmp_path, envoy="none") as host:
        start, changed = host.variant("a"), host.variant("b", host=2)
        files = {
            bundle: dict(DirectoryStore(bundle).node(NODE).files) for bundle in (start, changed)
        }

        by_agent = host.deliver(changed)
        after_agent = read_files(host.target)
        with host.standing_still():
            bare = host.deliver_bare(host.steps(changed, start))
            after_bare = read_files(host.target)

        assert after_agent == files[changed]
        assert after_bare == files[start]
        assert 0 < bare < 60_000
        assert 0 < by_agent < 60_000
        assert _resident_mib(host.pid) > 1
        assert _processor_s(host.pid) > 0


@pytest.mark.parametrize(("excess", "is_met"), [(19.9, True), (20.1, False)])
def test_a_figure_may_lie_so_far_above_its_floor(excess: float, is_met: bool) -> None:  # noqa: FBT001
    figure = Figure(name="", unit="ms", value=30, floor=10, excess=excess, max_excess=20)

    assert figure.is_met is is_met
