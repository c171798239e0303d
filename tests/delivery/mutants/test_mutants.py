"""Every scenario passes with the real agent, and says what is wrong with its mutant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.delivery.mutants import mutations, scenarios

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.envoy


@dataclass(frozen=True, slots=True)
class Case:
    """A mutation, the scenario that must notice it, and the words in which it does."""

    mutate: Callable[[pytest.MonkeyPatch], None]
    scenario: Callable[[Path], None]
    words: str


CASES = (
    Case(
        mutations.prune_at_once,
        scenarios.kept_connections_outlive_a_cluster_that_goes,
        "requests failed: .*503",
    ),
    Case(
        mutations.swap_all_together,
        scenarios.a_busy_envoy_takes_files_in_order,
        "listeners were refused 1 times",
    ),
    Case(
        mutations.skip_warming,
        scenarios.a_cluster_gets_no_requests_before_it_is_warm,
        "requests failed: .*503",
    ),
    Case(
        mutations.trust_the_dump,
        scenarios.a_partly_applied_refusal_is_a_refusal,
        "reported as refused: None",
    ),
    Case(
        mutations.trust_the_dump,
        scenarios.a_new_version_of_the_same_is_confirmed,
        "reported as not taken: cds.json",
    ),
    Case(
        mutations.leave_the_refused_file,
        scenarios.an_envoy_that_starts_after_a_refusal_finds_a_good_set,
        "a starting Envoy refuses what lies there",
    ),
    Case(
        mutations.never_nudge,
        scenarios.an_event_that_envoy_missed_is_made_again,
        "Envoy does not notice",
    ),
    Case(
        mutations.acknowledge_without_asking,
        scenarios.endpoints_that_envoy_refuses_are_reported,
        "reported as refused: None",
    ),
    Case(
        mutations.listeners_before_clusters,
        scenarios.a_new_listener_finds_its_cluster,
        "reported as refused: lds.json",
    ),
)


def named(case: Case) -> str:
    return f"{case.mutate.__name__}-{case.scenario.__name__}"


@pytest.mark.parametrize("scenario", sorted({case.scenario for case in CASES}, key=repr))
def test_the_real_agent_passes(scenario: Callable[[Path], None], tmp_path: Path) -> None:
    scenario(tmp_path)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_mutant_is_caught(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case.mutate(monkeypatch)

    with pytest.raises(AssertionError, match=case.words):
        case.scenario(tmp_path)
