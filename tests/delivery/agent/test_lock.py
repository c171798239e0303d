"""One agent for a target, and which places are fit to be one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.lock import TargetLock, check_place, owner_of
from meshc.delivery.agent.run import Agent
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.errors import DeliveryError
from meshc.delivery.log import Log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STRANGER = 54321
_HOLD = """
import sys, time
from pathlib import Path
from meshc.delivery.agent.lock import TargetLock
with TargetLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "target"
    target.mkdir()
    return target


@pytest.fixture
def other(target: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the target."""
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(target)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"held\n"
        yield process
    process.kill()
    process.wait()


def test_a_second_agent_is_told_which_process_has_the_target(
    target: Path, other: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(DeliveryError, match=f"another agent has .*: process {other.pid}"):
        TargetLock(target).take()


def test_a_second_agent_with_another_state_folder_is_kept_out_too(
    target: Path, tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    settings = AgentSettings(
        node="a", source=str(tmp_path), target=target, state=tmp_path / "state"
    )

    with (
        pytest.raises(DeliveryError, match=f"process {other.pid}"),
        Agent(settings, Log(), is_resident=True),
    ):
        pass

    assert not (tmp_path / "state").exists()


def test_everybody_may_ask_who_has_a_target(target: Path, other: subprocess.Popen[bytes]) -> None:
    assert owner_of(target) == other.pid


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_lock_ends_with_its_process(
    target: Path, other: subprocess.Popen[bytes], how: signal.Signals
) -> None:
    other.send_signal(how)
    other.wait(20)

    assert owner_of(target) is None
    with TargetLock(target):
        assert owner_of(target) == os.getpid()
    assert owner_of(target) is None


def test_a_target_that_is_replaced_is_noticed(target: Path, tmp_path: Path) -> None:
    with TargetLock(target) as lock:
        before = lock.is_in_place()
        target.rename(tmp_path / "away")
        without = lock.is_in_place()
        target.mkdir()
        replaced = lock.is_in_place()

    assert (before, without, replaced) == (True, False, False)


@pytest.mark.parametrize("kind", ["missing", "a file", "a link as lock", "a folder as lock"])
def test_a_target_that_cannot_be_held_is_said(target: Path, tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    match kind:
        case "missing":
            target.rmdir()
        case "a file":
            target.rmdir()
            target.write_bytes(b"")
        case "a link as lock":
            (target / ".agent.lock").symlink_to(other)
        case _:
            (target / ".agent.lock").mkdir()

    with pytest.raises(DeliveryError, match="cannot write into"):
        TargetLock(target).take()

    assert other.read_bytes() == b"mine"
    assert owner_of(target) is None


def test_a_target_of_ones_own_is_fit(target: Path) -> None:
    assert check_place(target) == ()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_target_that_anybody_may_write_into_is_refused(target: Path, mode: int) -> None:
    target.chmod(mode)

    with pytest.raises(DeliveryError, match=f'anybody may write into "{target}"') as caught:
        check_place(target)

    assert caught.value.hint == f"chmod o-w {target}"


def test_so_is_one_below_a_folder_that_anybody_may_write_into(target: Path) -> None:
    inner = target / "inner"
    inner.mkdir()
    target.chmod(0o777)

    with pytest.raises(DeliveryError, match=f'anybody may write into "{target}"'):
        check_place(inner)


def test_a_sticky_folder_above_is_no_danger(target: Path) -> None:
    """As /tmp is: nobody can rename what is another's there."""
    inner = target / "inner"
    inner.mkdir()
    target.chmod(0o1777)

    assert check_place(inner) == ()


def test_a_link_is_judged_by_where_it_leads(target: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(target)
    target.chmod(0o777)

    with pytest.raises(DeliveryError, match=f'anybody may write into "{target}"'):
        check_place(link)


def test_a_group_that_may_write_is_worth_a_note(target: Path) -> None:
    target.chmod(0o770)

    assert check_place(target) == (f'the group of "{target}" may write into it',)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("place", ["target", "above"])
def test_what_belongs_to_a_stranger_is_refused(target: Path, place: str) -> None:
    inner = target / "inner"
    inner.mkdir()
    os.chown(inner if place == "target" else target, _STRANGER, -1)

    with pytest.raises(DeliveryError, match=f"belongs to user {_STRANGER}"):
        check_place(inner)


def test_an_agent_refuses_an_unfit_target_before_it_touches_it(
    target: Path, tmp_path: Path
) -> None:
    target.chmod(0o777)
    settings = AgentSettings(node="a", source=str(tmp_path), target=target, state=target / "state")

    with (
        pytest.raises(DeliveryError, match="anybody may write"),
        Agent(settings, Log(), is_resident=True),
    ):
        pass

    assert list(target.iterdir()) == []
