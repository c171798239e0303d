"""Local validation: a real Envoy's word, and programs that give none."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent import validation
from meshc.delivery.agent.validation import Validator
from tests.delivery.live import until
from tests.delivery.node_files import bundle, eds_cluster, endpoints, node_files, tcp_listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.artifact.store import NodeBundle

_PLACE = ("127.0.44.2", 8080)
_LIMIT_S = 30.0


def a_bundle(**more: object) -> NodeBundle:
    return bundle(
        node_files(
            listeners=[tcp_listener("in", _PLACE, "app", **more)],
            clusters=[eds_cluster("app", "app")],
            shared={"app/eds.json": endpoints("1", "app", _PLACE)},
        )
    )


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Make a program of a few lines that is taken for an Envoy."""

    def made(lines: str) -> str:
        place = tmp_path / "envoy"
        place.write_text(f"#!/bin/sh\n{lines}\n")
        place.chmod(0o755)
        return str(place)

    return made


@pytest.mark.envoy
def test_a_good_set_is_accepted_and_nothing_is_left(tmp_path: Path, envoy_binary: Path) -> None:
    verdict = Validator(tmp_path, str(envoy_binary), limit_s=_LIMIT_S).judge(a_bundle())

    assert verdict.is_accepted is True
    assert list(tmp_path.iterdir()) == []


@pytest.mark.envoy
def test_a_rule_for_the_agent_is_nothing_to_judge(tmp_path: Path, envoy_binary: Path) -> None:
    given = a_bundle()
    files = {**given.files, "services/app/health@front.json": b"{}"}

    verdict = Validator(tmp_path, str(envoy_binary), limit_s=_LIMIT_S).judge(bundle(files))

    assert verdict.is_accepted is True


@pytest.mark.envoy
def test_a_bad_resource_is_named_with_envoys_reason(tmp_path: Path, envoy_binary: Path) -> None:
    bad = a_bundle(unknown_field=1)

    verdict = Validator(tmp_path, str(envoy_binary), limit_s=_LIMIT_S).judge(bad)

    assert verdict.is_accepted is False
    assert (verdict.path, verdict.resource) == ("lds.json", "in")
    assert "unknown_field" in verdict.reason


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("kill -SEGV $$", "crashed with SIGSEGV"),
        ("kill -KILL $$", "crashed with SIGKILL"),
        ("exit 0", "without a clear answer"),
        ("echo configuration fine >&2; exit 1", "without a clear answer"),
        ("echo OK; exit 7", "exit code 7"),
        ("head -c 3000000 /dev/zero; exit 1", "without a clear answer"),
    ],
)
def test_a_program_that_gives_no_clear_answer_is_no_judge(
    tmp_path: Path, program: Callable[[str], str], lines: str, reason: str
) -> None:
    verdict = Validator(tmp_path / "state", program(lines), limit_s=_LIMIT_S).judge(a_bundle())

    assert verdict.is_accepted is None
    assert reason in verdict.reason
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "a folder", "no program"])
def test_a_program_that_cannot_be_started_is_no_judge(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "envoy"
    if kind == "a folder":
        place.mkdir()
    elif kind == "no program":
        place.write_bytes(b"\x7fELF")
        place.chmod(0o755)

    verdict = Validator(tmp_path / "state", str(place), limit_s=_LIMIT_S).judge(a_bundle())

    assert verdict.is_accepted is None
    assert verdict.reason


def test_validation_that_is_switched_off_judges_nothing(tmp_path: Path) -> None:
    verdict = Validator(tmp_path, "none", limit_s=_LIMIT_S).judge(a_bundle())

    assert verdict.is_accepted is None
    assert "switched off" in verdict.reason


@pytest.mark.parametrize("is_deaf", [False, True])
def test_a_hung_program_is_ended_with_all_that_it_has_started(
    tmp_path: Path,
    program: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_deaf: bool,
) -> None:
    pids, drafts = tmp_path / "pids", tmp_path / "drafts"
    drafts.mkdir()
    monkeypatch.setenv("TMPDIR", str(drafts))
    deaf = "trap '' TERM INT HUP\n" if is_deaf else ""
    said = f"echo $$ $! >{pids}.new; mv {pids}.new {pids}"
    hung = program(f"{deaf}sleep 1000 & sleep 0.3; {said}; wait; wait")
    validator = Validator(tmp_path / "state", hung, limit_s=_LIMIT_S)
    patience = validation._await_end

    def until_it_hangs(pid: int, limit_s: float) -> int | None:
        if not pids.exists():
            until(pids.exists, "a program that hangs", limit_s)
            return None  # as if time were up
        return patience(pid, limit_s)

    monkeypatch.setattr(validation, "_await_end", until_it_hangs)

    verdict = validator.judge(a_bundle())

    started = [int(pid) for pid in pids.read_text().split()]
    try:
        assert verdict.is_accepted is None
        assert "took longer than 30 s" in verdict.reason
        until(lambda: not any(map(_runs, started)), "the end of the program and its child")
        assert list(drafts.iterdir()) == []
        assert list((tmp_path / "state").iterdir()) == []
    finally:
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_child_that_does_not_end_when_asked_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = tmp_path / "python"
    deaf.write_text("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.05; done\n")
    deaf.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(deaf))
    monkeypatch.setattr(validation, "_GRACE_S", 0.1)

    verdict = Validator(tmp_path / "state", "auto", limit_s=0.3).judge(a_bundle())

    assert verdict.is_accepted is None
    assert "took longer than 0.3 s" in verdict.reason


@pytest.mark.parametrize("answer", ["", "[]", "no JSON", '{"refused": 5}', '{"refused": [5]}'])
def test_a_damaged_answer_is_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    odd = tmp_path / "python"
    odd.write_text(f"#!/bin/sh\necho '{answer}'\nexit 1\n")
    odd.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(odd))

    verdict = Validator(tmp_path / "state", "auto", limit_s=_LIMIT_S).judge(a_bundle())

    assert verdict.is_accepted is None
