"""Rollback, pause and resume, with a running agent and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.delivery.hosts.mesh import FRONT, meshc
from tests.delivery.live import get, until

if TYPE_CHECKING:
    from tests.delivery.hosts.mesh import Host


def _add_app2(host: Host) -> None:
    host.mesh.app["app2"] = host.mesh.apps["app2"]
    host.mesh.build()


def _answers(host: Host) -> set[str]:
    return {get((FRONT, host.mesh.calls["app"])) for _ in range(8)}


def _await_news(host: Host, before: str) -> None:
    until(lambda: host.desired() != before, "a fetch of the new bundle")


def test_rollback_goes_to_the_generation_before(followed: Host) -> None:
    first = followed.delivered()
    _add_app2(followed)
    followed.await_current()

    said = followed.meshc("rollback")

    assert (said.code, said.out) == (0, f"rollback {first[:12]}: done\n")
    assert followed.delivered() == first
    assert _answers(followed) == {"app1"}


def test_rollback_takes_the_beginning_of_a_name(followed: Host) -> None:
    first = followed.delivered()
    _add_app2(followed)
    followed.await_current()

    said = followed.meshc("rollback", first[:8])

    assert said.code == 0
    assert followed.delivered() == first


def test_after_a_rollback_the_source_is_not_followed_until_resume(followed: Host) -> None:
    first = followed.delivered()
    _add_app2(followed)
    followed.await_current()
    second = followed.delivered()
    followed.meshc("rollback")

    followed.mesh.app["app3"] = followed.mesh.app.pop("app2")
    followed.mesh.build()
    _await_news(followed, second)
    stayed = followed.meshc("status")
    resumed = followed.meshc("resume")
    followed.await_current()

    assert stayed.code == 0
    assert stayed.first == (
        f"PAUSED: rolled back to {first[:12]} by an operator. Generation {first[:12]} runs"
    )
    assert "do: to follow the source again: meshc agent resume" in stayed.out
    assert (resumed.code, resumed.out) == (0, "resume: done\n")


def test_rollback_to_an_unknown_generation_names_those_that_are_kept(followed: Host) -> None:
    before = followed.delivered()

    said = followed.meshc("rollback", "zzz")

    assert said.code == 1
    assert 'no generation here starts with "zzz"' in said.err
    assert before[:12] in said.err
    assert followed.delivered() == before


def test_rollback_to_a_quarantined_generation_tells_why_it_is_there(followed: Host) -> None:
    def spoil(content: dict[str, list[dict[str, object]]]) -> None:
        content["resources"][0]["connect_timeout"] = "-5s"

    followed.mesh.forge("cds.json", spoil)
    bad = followed.await_state("quarantined")["desired"]["generation"]

    said = followed.meshc("rollback", bad[:10])

    assert said.code == 1
    assert f"generation {bad[:12]} is in quarantine" in said.err
    assert f"if the cause was this host: meshc agent allow {bad[:12]}" in said.err


def test_pause_keeps_what_runs_and_shows_its_reason(followed: Host) -> None:
    before = followed.delivered()

    paused = followed.meshc("pause", "--reason", "the database moves")
    _add_app2(followed)
    _await_news(followed, before)
    told = followed.meshc("status")

    assert paused.code == 0
    assert told.first == f"PAUSED: the database moves. Generation {before[:12]} runs"
    assert followed.delivered() == before
    assert _answers(followed) == {"app1"}


def test_a_pause_outlives_the_agent(followed: Host) -> None:
    before = followed.delivered()
    followed.meshc("pause")
    followed.end_agent()
    _add_app2(followed)

    followed.start_agent()
    _await_news(followed, before)
    followed.await_state("paused")

    assert followed.delivered() == before


def test_rollback_without_an_agent_delivers_itself(ready: Host) -> None:
    first = ready.delivered()
    _add_app2(ready)
    assert ready.once().code == 0

    said = meshc("agent", "rollback", *ready.arguments())

    assert (said.code, said.out) == (0, f"rollback to {first[:12]}: done\n")
    assert _answers(ready) == {"app1"}


def test_rollback_without_an_agent_to_an_unknown_generation_changes_nothing(ready: Host) -> None:
    files = ready.traces()

    said = meshc("agent", "rollback", *ready.arguments(), "zzz")

    assert said.code == 3
    assert 'error: no generation here starts with "zzz"' in said.err
    assert ready.traces() == files


def test_single_runs_follow_the_source_again_after_a_resume_without_an_agent(ready: Host) -> None:
    _add_app2(ready)
    ready.once()
    meshc("agent", "rollback", *ready.arguments())
    stayed = ready.once()

    resumed = ready.meshc("resume")
    went_on = ready.once()

    assert stayed.code == 1
    assert "PAUSED: rolled back to " in stayed.err
    assert resumed.out == "resume: done, for the next agent; none runs now\n"
    assert went_on.out.startswith("OK: generation ")
    assert _answers(ready) == {"app1", "app2"}


def test_without_an_agent_nothing_can_be_allowed(ready: Host) -> None:
    said = ready.meshc("allow", ready.delivered()[:8])

    assert said.code == 3
    assert f'error: no agent runs on "{ready.target}"' in said.err
