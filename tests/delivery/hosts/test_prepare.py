"""What `meshc agent prepare` leaves for an Envoy that is about to start."""

from __future__ import annotations

import hashlib
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.delivery.hosts.mesh import FRONT, Host, Said, meshc
from tests.delivery.live import free_ports, get, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.delivery.hosts.mesh import Mesh


@pytest.fixture
def empty(mesh: Mesh, tmp_path: Path) -> Iterator[Host]:
    """A host with nothing at all."""
    mesh.reset()
    mesh.build()
    with Host(mesh, tmp_path / "target") as found:
        yield found


def _prepare(host: Host, *flags: str | Path) -> Said:
    return meshc("agent", "prepare", *host.arguments(*flags))


def _disk(host: Host) -> dict[str, str]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in host.files().items()}


def test_an_empty_target_is_filled_and_envoy_starts_on_it_and_is_confirmed(empty: Host) -> None:
    said = _prepare(empty)
    disk = _disk(empty)
    empty.start_envoy()
    empty.start_agent()
    empty.await_current()

    assert said.code == 0
    assert said.out.startswith(f"{empty.target}: laid generation ")
    assert disk == empty.mesh.files()
    assert get((FRONT, empty.mesh.calls["app"])) == "app1"


def test_a_second_time_nothing_is_touched(empty: Host) -> None:
    _prepare(empty)
    before = empty.traces()

    said = _prepare(empty)

    assert (said.code, said.out) == (0, f"{empty.target}: whole\n")
    assert empty.traces() == before


def test_without_a_source_it_fails_and_says_what_is_missing(empty: Host, tmp_path: Path) -> None:
    said = _prepare(empty, "--source", tmp_path / "none")

    assert said.code == 3
    assert 'Envoy cannot start: there is no "bootstrap.json" in the target' in said.err
    assert f'the source "{tmp_path}/none" is not there' in said.err
    assert empty.files() == {}


def test_a_source_without_this_node_is_told_with_the_nearest_name(empty: Host) -> None:
    said = _prepare(empty, "--node", "frnt1")

    assert said.code == 3
    assert 'there is no node "frnt1"' in said.err
    assert 'hint: did you mean "front1"?' in said.err
    assert empty.files() == {}


def test_a_source_with_a_damaged_file_is_unusable(empty: Host) -> None:
    place = empty.mesh.out / "nodes/front1/lds.json"
    right = place.read_bytes()
    place.write_bytes(right[:-1])

    said = _prepare(empty)
    place.write_bytes(right)

    assert said.code == 3
    assert "Envoy cannot start" in said.err
    assert "lds.json" in said.err
    assert empty.files() == {}


def test_what_the_hosts_envoy_refuses_is_not_laid_out(empty: Host) -> None:
    def spoil(content: dict[str, list[dict[str, object]]]) -> None:
        content["resources"][0]["connect_timeout"] = "-5s"

    empty.mesh.forge("cds.json", spoil)
    said = _prepare(empty, "--envoy", "auto")

    assert said.code == 3
    assert 'this host\'s Envoy refuses "inbound/front": Invalid duration' in said.err
    assert empty.files() == {}


def test_a_whole_target_needs_no_source(empty: Host, tmp_path: Path) -> None:
    _prepare(empty)

    said = _prepare(empty, "--source", tmp_path / "none")

    assert (said.code, said.out) == (0, f"{empty.target}: whole\n")


def test_a_delivery_that_was_killed_is_taken_back(empty: Host) -> None:
    _prepare(empty)
    empty.mesh.drain_time = "60s"
    empty.mesh.calls["store"] = free_ports(FRONT, 1)[0]
    empty.mesh.build()
    empty.start_envoy()
    assert empty.once().code == 0
    good = empty.files()
    del empty.mesh.calls["store"]
    empty.start_agent()
    empty.await_current()
    empty.mesh.build()
    until(lambda: empty.admin.draining() > 0, "a delivery that waits")
    empty.end_agent(signal.SIGKILL)
    empty.end_envoy()
    empty.mesh.drain_time = "1s"
    cut = empty.files()

    said = _prepare(empty)
    put_back = empty.files()
    empty.start_envoy()
    empty.start_agent()
    empty.await_current()

    assert cut != good
    assert said.code == 0
    assert "back, which Envoy ran last" in said.out
    assert put_back == good


def test_with_a_running_agent_it_waits_until_that_has_filled_the_target(empty: Host) -> None:
    aside = empty.mesh.out.with_name("aside")
    empty.mesh.out.rename(aside)
    empty.start_agent()
    until(lambda: bool(empty.status()), "a running agent")
    said: list[Said] = []
    thread = threading.Thread(target=lambda: said.append(_prepare(empty)))

    thread.start()
    thread.join(1)
    is_waiting = thread.is_alive()
    aside.rename(empty.mesh.out)
    thread.join(30)

    assert is_waiting
    assert [(one.code, one.out) for one in said] == [
        (0, f"{empty.target}: whole; the agent looks after it\n")
    ]
    assert _disk(empty) == empty.mesh.files()
