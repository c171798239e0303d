"""Several publishers at one Consul: each is whole, or fails loudly."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from meshc.consul.errors import ConsulConflictError
from meshc.delivery.publish.plan import PublishConflictError, PublishError
from meshc.delivery.publish.to_consul import ConsulPlace
from tests.consul.gate import Gate
from tests.delivery.publish.bundles import MESH, NEW, NOW, OLD, Mesh
from tests.delivery.publish.reader import check, nodes_of
from tests.delivery.publish.to_consul import (
    END_S,
    command,
    consul_at,
    end_sessions,
    is_writing,
    publish,
    sessions,
    values,
    wait_for,
)

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.consul.client import ConsulClient
    from meshc.delivery.publish.publisher import Published
    from tests.consul.server import ConsulServer

pytestmark = [pytest.mark.consul, pytest.mark.usefixtures("empty_consul")]


def test_of_many_that_publish_at_once_each_is_whole_or_fails_loudly(
    consul_dev: ConsulServer, client: ConsulClient, tmp_path: Path
) -> None:
    """Threads with their own connections, all released at once; the last that succeeded counts."""
    count, rounds = 4, 3
    for turn in range(rounds):
        done: dict[int, int] = {}
        failed: list[int] = []
        start = threading.Barrier(count)

        def run(number: int, turn: int = turn) -> None:
            mesh = Mesh({"a": f"{turn}.{number}", f"only{number}": "1"})
            mesh.write(tmp_path / str(number))
            with consul_dev.client() as own:
                start.wait()  # noqa: B023
                try:
                    result = publish(own, mesh, tmp_path / str(number), NOW + turn)
                except (PublishConflictError, ConsulConflictError):
                    failed.append(number)  # noqa: B023
                else:
                    done[result.order] = number  # noqa: B023

        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(END_S)

        assert len(done) >= 1
        assert len(done) + len(failed) == count
        last = done[max(done)]
        check(values(client), Mesh({"a": f"{turn}.{last}", f"only{last}": "1"}))


def test_two_commands_at_once_one_wins_and_the_other_says_so(
    consul_dev: ConsulServer, client: ConsulClient, tmp_path: Path
) -> None:
    meshes = [Mesh({"a": "left"}), Mesh({"a": "right"})]
    runs = []
    for number, mesh in enumerate(meshes):
        mesh.write(tmp_path / str(number))
    # The first is held at the gate with the lock in its hands, until the second has come.
    with Gate((consul_dev.host, consul_dev.ports["http"])) as gate:
        second_is_there = threading.Event()

        def hold(_number: int) -> None:
            if is_writing(gate):
                second_is_there.wait(END_S)

        gate.before = hold
        runs.append(command(gate.place, tmp_path / "0"))
        wait_for(lambda: is_writing(gate))
        runs.append(command(consul_dev.address, tmp_path / "1"))
        wait_for(lambda: len(sessions(client)) >= 2)
        second_is_there.set()
        said = [run.communicate(timeout=END_S) for run in runs]

    assert runs[0].returncode == 0, said[0]
    assert runs[1].returncode == 3, said[1]
    assert "somebody else has published" in said[1][1]
    check(values(client), meshes[0])


def test_a_publisher_whose_session_has_ended_writes_nothing_more(
    client: ConsulClient, consul_dev: ConsulServer, tmp_path: Path
) -> None:
    publish(client, OLD, tmp_path / "old")
    before = values(client)
    with Gate((consul_dev.host, consul_dev.ports["http"])) as gate:

        def end(_number: int) -> None:
            if is_writing(gate):
                end_sessions(client)

        gate.before = end
        with consul_at(consul_dev, gate) as near, pytest.raises(PublishConflictError):
            publish(near, NEW, tmp_path / "new", NOW + 1)

    after = values(client)
    assert {k: v for k, v in after.items() if k != "lock"} == {
        k: v for k, v in before.items() if k != "lock"
    }


def test_an_index_that_somebody_changes_under_the_publisher_is_not_written_over(
    client: ConsulClient, tmp_path: Path
) -> None:
    publish(client, OLD, tmp_path)
    place = ConsulPlace(client, MESH)
    [(_, index)] = place.get(["index"])
    assert index is not None

    with place.alone():
        client.kv_put(f"meshc/v1/{MESH}/index", b"of somebody else")
        with pytest.raises(PublishConflictError):
            place.swap("index", index, b"mine")

    assert values(client)["index"] == b"of somebody else"


def test_what_is_no_blob_is_never_written_without_proof_of_the_lock(client: ConsulClient) -> None:
    place = ConsulPlace(client, MESH)

    with place.alone(), pytest.raises(PublishError, match="too large for a transaction"):
        place.write([("nodes/a", os.urandom(400 * 1024))])

    assert nodes_of(values(client)) == set()


def test_a_lock_whose_holder_has_died_is_waited_for(
    client: ConsulClient, consul_dev: ConsulServer, tmp_path: Path
) -> None:
    """Consul lets go by itself after 15 to 30 seconds; here somebody ends the session."""
    key = f"meshc/v1/{MESH}/lock"
    session = client.session_create("died", ttl=600, lock_delay=0)
    assert client.acquire(key, session, b"{}")
    done: list[Published] = []

    def run() -> None:
        with consul_dev.client() as own:
            done.append(publish(own, OLD, tmp_path))

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: len(sessions(client)) >= 2)
    assert not done
    client.session_destroy(session)
    thread.join(END_S)

    assert [one.is_changed for one in done] == [True]
    check(values(client), OLD)
