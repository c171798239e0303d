"""Stand-in programs that hang, crash, lie or babble: never taken for an acceptance."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from meshc.diagnostics.errors import EnvoyError, InternalError
from meshc.validate.envoy_binary import Candidate, EnvoyGate
from meshc.validate.static_bootstrap import BOOTSTRAP, CLUSTER
from tests.delivery.live import until

CANDIDATES = [Candidate(f"{i}", CLUSTER, {"name": f"c{i}"}) for i in range(4)]
YES = "configuration 'bootstrap.json' OK"
NO = "\x1emain|critical|error initializing configuration 'bootstrap.json': "


def program(folder: Path, body: str) -> Path:
    path = folder / "envoy-stand-in"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def living_members(group: int) -> list[str]:
    """Processes of a group that are more than an entry waiting for its parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member_of = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # It ended while we looked.
            continue
        if int(member_of) == group and state != "Z":
            found.append(path.parent.name)
    return found


def test_a_clear_yes_is_an_acceptance(tmp_path: Path) -> None:
    gate = EnvoyGate(program(tmp_path, f'echo "{YES}"'), batch_size=2)

    assert gate.judge(CANDIDATES) == ()
    assert gate.run_count == 2


def test_nothing_to_judge_starts_nothing(tmp_path: Path) -> None:
    gate = EnvoyGate(tmp_path / "missing")

    assert gate.judge([]) == ()
    assert gate.run_count == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("exit 0", "exit code 0 and without a clear answer"),
        ("echo configuration OK", "without a clear answer"),
        (f'echo "{YES}"; echo "and more"', "without a clear answer"),
        (f'echo "{YES}"; exit 3', "exit code 3"),
        (f'echo "{YES}"; exit 1', "exit code 1"),
        ("echo 'error: no such flag' >&2; exit 1", 'its last words: "error: no such flag"'),
        ("head -c 100000 /dev/urandom; exit 1", "exit code 1"),
        (f'printf "{NO}bad" >&2; exit 2', "exit code 2"),
        (f"printf '\\036envoy_bug|error|no files' >&2; echo \"{YES}\"", "trouble of its own"),
        ("kill -SEGV $$", "crashed with SIGSEGV"),
        (f'echo "{YES}"; kill -ABRT $$', "crashed with SIGABRT"),
        ("kill -KILL $$", "crashed with SIGKILL"),
    ],
)
def test_anything_but_a_clear_answer_is_an_error(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(EnvoyError, match=words) as caught:
        EnvoyGate(program(tmp_path, body)).judge(CANDIDATES)

    assert caught.value.hint
    assert caught.value.message.isprintable()


def test_a_refusal_that_is_taken_back_is_an_error(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    body = f'[ -e {mark} ] && echo "{YES}" && exit 0; touch {mark}; printf "{NO}x" >&2; exit 1'

    with pytest.raises(EnvoyError, match="then accepted"):
        EnvoyGate(program(tmp_path, body)).judge(CANDIDATES)


def test_a_program_that_refuses_everything_has_everything_named(tmp_path: Path) -> None:
    gate = EnvoyGate(program(tmp_path, f'printf "{NO}no reason" >&2; exit 1'))

    refusals = gate.judge(CANDIDATES)

    assert [refusal.key for refusal in refusals] == ["0", "1", "2", "3"]


def test_a_batch_refused_only_as_a_whole_holds_nothing_bad(tmp_path: Path) -> None:
    both = "grep -q 'c0.*c1' bootstrap.json"
    body = f'{both} || {{ echo "{YES}"; exit 0; }}; printf "{NO}both" >&2; exit 1'
    gate = EnvoyGate(program(tmp_path, body))

    assert gate.judge(CANDIDATES) == ()
    assert gate.run_count > 1


@pytest.mark.parametrize("body", ["sleep 60", "trap '' TERM; sleep 60 & wait"])
def test_a_hanging_program_and_its_children_are_killed(tmp_path: Path, body: str) -> None:
    pids = tmp_path / "pids"
    started = time.monotonic()

    with pytest.raises(EnvoyError, match=r"within 0\.5 s and was killed"):
        EnvoyGate(program(tmp_path, f"echo $$ > {pids}; {body}"), timeout_s=0.5).judge(CANDIDATES)

    assert time.monotonic() - started < 10
    until(lambda: not living_members(int(pids.read_text())), "the end of what was killed")


def test_leaving_the_gate_early_kills_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    fifo = tmp_path / "started"
    os.mkfifo(fifo)
    stand_in = program(tmp_path, f"echo $$ > {pids}; echo > {fifo}; sleep 60")

    with EnvoyGate(stand_in, batch_size=4) as gate:
        gate.submit(CANDIDATES)
        fifo.read_text()

    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


def test_a_failed_batch_takes_the_others_down_with_it(tmp_path: Path) -> None:
    body = "grep -q c0 bootstrap.json && exit 7; sleep 60"
    started = time.monotonic()

    with pytest.raises(EnvoyError, match="exit code 7"):
        EnvoyGate(program(tmp_path, body), batch_size=1).judge(CANDIDATES)

    assert time.monotonic() - started < 10


def test_the_program_sees_no_secrets_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESHC_TEST_TOKEN", "secret")
    body = f'[ -z "$MESHC_TEST_TOKEN" ] && [ "$PWD" = "$HOME" ] && echo "{YES}"'

    assert EnvoyGate(program(tmp_path, body)).judge(CANDIDATES) == ()


@pytest.mark.parametrize("content", [None, "no program\n", "#!/no/such/interpreter\n"])
def test_a_program_that_cannot_start_is_an_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "envoy"
    if content is not None:
        path.write_text(content)
        path.chmod(0o755)

    with pytest.raises(EnvoyError, match="cannot be started") as caught:
        EnvoyGate(path).judge(CANDIDATES)

    assert caught.value.hint


def test_the_version_is_read_from_the_program(tmp_path: Path) -> None:
    line = "envoy  version: 9e5580933739775e/1.36.2-dev/Clean/RELEASE/BoringSSL"

    assert EnvoyGate(program(tmp_path, f'echo "{line}"')).version() == "1.36.2-dev"


@pytest.mark.parametrize("body", ["echo Python 3.11", "exit 0", "echo version: a/1.2.3/x; exit 1"])
def test_a_version_of_something_else_is_an_error(tmp_path: Path, body: str) -> None:
    with pytest.raises(EnvoyError, match="does not state a version"):
        EnvoyGate(program(tmp_path, body)).version()


def test_a_type_the_gate_does_not_know_is_our_mistake() -> None:
    with pytest.raises(InternalError, match="cannot judge"):
        EnvoyGate(Path("/nowhere")).judge([Candidate("k", "type.googleapis.com/x.Y", {})])


def test_a_bootstrap_that_is_no_message_still_reaches_envoy(tmp_path: Path) -> None:
    odd = {"dynamic_resources": 3, "static_resources": []}
    gate = EnvoyGate(program(tmp_path, f'printf "{NO}odd" >&2; exit 1'))

    (refusal,) = gate.judge([Candidate("k", BOOTSTRAP, odd)])

    assert refusal.reason == "odd"
