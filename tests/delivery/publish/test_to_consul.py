"""Publishing to a real Consul: limits, two at once, kills between any two requests, snapshots."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.consul import lock as consul_lock
from meshc.consul.client import ConsulClient
from meshc.consul.errors import ConsulConflictError, ConsulDeniedError
from meshc.consul.settings import ConsulSettings
from meshc.delivery.publish.local import LocalBundle
from meshc.delivery.publish.plan import Bounds, PublishConflictError, PublishError
from meshc.delivery.publish.publisher import Published, Publisher, Wishes
from meshc.delivery.publish.to_consul import ConsulPlace
from tests.consul.gate import Gate
from tests.delivery.live import until
from tests.delivery.publish.bundles import MESH, Mesh
from tests.delivery.publish.reader import files_of, nodes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.consul.server import ConsulServer

pytestmark = pytest.mark.consul

PROGRAM = Path(sys.executable).with_name("meshc")
NOW = 1_764_000_000_000
OLD = Mesh({"a": "1", "b": "1", "c": "1"}, {"app": "1", "store": "1"})
NEW = Mesh({"a": "2", "b": "1", "d": "1"}, {"app": "2", "store": "1"})
ANY = Bounds(may_shrink=True, may_be_empty=True)
_END_S = 60


@pytest.fixture
def client(consul_dev: ConsulServer) -> Iterator[ConsulClient]:
    with consul_dev.client() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _empty_consul(client: ConsulClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tests publish the same mesh; who died holds nobody up."""
    monkeypatch.setattr(consul_lock, "_LOCK_DELAY_S", 0)
    end_sessions(client)
    for key in client.kv_keys(f"meshc/v1/{MESH}/").value:
        client.kv_delete(key)


def end_sessions(client: ConsulClient) -> None:
    """What Consul itself does half a minute after a publisher has died."""
    entry = client.kv_get(f"meshc/v1/{MESH}/lock").value
    if entry is not None and entry.session:
        client.session_destroy(entry.session)


def publish(
    client: ConsulClient, mesh: Mesh, out: Path, now: int = NOW, **wishes: object
) -> Published:
    mesh.write(out)
    given: dict[str, object] = {"bounds": ANY} | wishes
    publisher = Publisher(
        LocalBundle(out),
        ConsulPlace(client, MESH),
        Wishes(**given),  # type: ignore[arg-type]
        progress=lambda _done, _total: None,
    )
    return publisher.publish(now)


def values(client: ConsulClient) -> dict[str, bytes]:
    root = f"meshc/v1/{MESH}/"
    entries = client.kv_list(root, consistency="consistent").value
    return {entry.key.removeprefix(root): entry.value for entry in entries}


def check(client: ConsulClient, mesh: Mesh) -> None:
    found = values(client)
    assert nodes_of(found) == mesh.nodes.keys()
    for node in mesh.nodes:
        assert files_of(found, node) == mesh.files(node)


def test_every_node_reads_what_was_built(client: ConsulClient, tmp_path: Path) -> None:
    publish(client, OLD, tmp_path)
    check(client, OLD)

    publish(client, NEW, tmp_path, NOW + 1)
    check(client, NEW)


def test_the_lock_is_free_afterwards(client: ConsulClient, tmp_path: Path) -> None:
    publish(client, OLD, tmp_path)

    lock = client.kv_get(f"meshc/v1/{MESH}/lock").value
    assert lock is not None
    assert lock.session == ""


def test_a_neighbour_whose_name_begins_alike_is_not_touched(
    client: ConsulClient, tmp_path: Path
) -> None:
    """`shop` is a prefix of `shop2`, and `a` of `a1`."""
    client.kv_put("meshc/v1/shop2/nodes/a", b"of another mesh")
    publish(client, Mesh({"a": "1", "a1": "1"}), tmp_path)

    publish(client, Mesh({"a1": "1"}), tmp_path, NOW + 1)

    check(client, Mesh({"a1": "1"}))
    entry = client.kv_get("meshc/v1/shop2/nodes/a").value
    assert entry is not None
    assert entry.value == b"of another mesh"
    client.kv_delete("meshc/v1/shop2/nodes/a")


def test_what_is_larger_than_a_value_or_a_transaction_is_published_in_pieces(
    client: ConsulClient, tmp_path: Path
) -> None:
    """Numbers that nothing can compress well: 300 KiB, 700 KiB and 1.5 MiB of them in hex."""
    sizes = (300, 700, 1500)
    mesh = Mesh({"a": "1"}, {f"s{kib}": secrets.token_hex(kib * 512) for kib in sizes})

    publish(client, mesh, tmp_path)

    check(client, mesh)
    assert max(map(len, values(client).values())) <= 512 * 1024


def test_calls_and_bytes_grow_with_the_change_and_not_with_the_mesh(
    consul_dev: ConsulServer, tmp_path: Path
) -> None:
    """100 nodes, 10 services of 10 hosts: one of them changes, then one of twice as many."""

    def mesh(count: int, app: str) -> Mesh:
        services = {f"s{number}": "1" for number in range(count // 10)} | {"s0": app}
        nodes = {f"n{number}": "1" for number in range(count)}
        calls = {f"n{number}": (f"s{number // 10}",) for number in range(count)}
        return Mesh(nodes, services, calls)

    found = []
    for count in (100, 200):
        with Gate((consul_dev.host, consul_dev.ports["http"])) as gate:
            near = consul_at(consul_dev, gate)
            publish(near, mesh(count, "1"), tmp_path / str(count), NOW + count, again=True)
            full = len(gate.passed)
            gate.passed.clear()
            done = publish(near, mesh(count, "2"), tmp_path / str(count), NOW + 1000 + count)
            assert len(done.written) == 10
            found.append((full, len(gate.passed), sum(one.sent for one in gate.passed)))
            gate.passed.clear()
            publish(near, mesh(count, "2"), tmp_path / str(count), NOW + 2000 + count)
            assert [one.method for one in gate.passed] == ["GET", "GET"]
            near.close()
    (full, calls, sent), (_, calls_of_200, sent_of_200) = found
    assert calls == 14
    assert calls_of_200 == calls
    assert full < 100
    assert sent_of_200 < sent * 1.5


def consul_at(server: ConsulServer, gate: Gate) -> ConsulClient:
    assert not server.admin_token
    return ConsulClient(ConsulSettings(address=f"http://{gate.place}"))


# --- two at once ------------------------------------------------------------------------------


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
            thread.join(_END_S)

        assert len(done) >= 1
        assert len(done) + len(failed) == count
        last = done[max(done)]
        check(client, Mesh({"a": f"{turn}.{last}", f"only{last}": "1"}))


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
                second_is_there.wait(_END_S)

        gate.before = hold
        runs.append(command(gate.place, tmp_path / "0"))
        wait_for(lambda: is_writing(gate))
        runs.append(command(consul_dev.address, tmp_path / "1"))
        wait_for(lambda: len(sessions(client)) >= 2)
        second_is_there.set()
        said = [run.communicate(timeout=_END_S) for run in runs]

    assert runs[0].returncode == 0, said[0]
    assert runs[1].returncode == 3, said[1]
    assert "somebody else has published" in said[1][1]
    check(client, meshes[0])


def is_writing(gate: Gate) -> bool:
    return bool(gate.passed) and gate.passed[-1].path.startswith("/v1/txn")


def sessions(client: ConsulClient) -> list[object]:
    answer = client._transport.get(None, "/v1/session/list")
    found = json.loads(answer.body)
    assert isinstance(found, list)
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    until(condition, "the other command", _END_S)


def command(place: str, out: Path, *more: str) -> subprocess.Popen[str]:
    """Start `meshc publish consul` as CI does."""
    return subprocess.Popen(
        [str(PROGRAM), "publish", "consul", "--out", str(out), "--allow-shrink", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CONSUL_HTTP_ADDR": place},
    )


# --- what was written by who has lost the lock ------------------------------------------------


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


# --- killed between any two requests ----------------------------------------------------------


class KilledError(BaseException):
    """Nothing catches it, and nothing is asked afterwards: the process is gone."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_wherever_a_publisher_dies_hosts_read_old_or_new_and_the_next_run_ends_it(
    consul_dev: ConsulServer, client: ConsulClient, tmp_path: Path, when: str
) -> None:
    """``before``: the request never reached Consul; ``after``: its answer never came back."""
    OLD.write(tmp_path / "old")
    is_over = False
    for cut in range(1, 100):
        _start_over(client, tmp_path)
        with consul_dev.client() as own:
            _kill_at(own, cut, when)
            try:
                publish(own, NEW, tmp_path / "new", NOW + 1)
                is_over = True
            except KilledError:
                pass

        found = values(client)
        for node in nodes_of(found):
            whole = [mesh.files(node) for mesh in (OLD, NEW) if node in mesh.nodes]
            assert files_of(found, node) in whole, (cut, node)
        end_sessions(client)
        then = OLD if cut % 2 else NEW
        publish(client, then, tmp_path / "then", NOW + 2)
        check(client, then)
        if is_over:
            break
    assert is_over
    assert cut > 10


def _start_over(client: ConsulClient, tmp_path: Path) -> None:
    for key in client.kv_keys(f"meshc/v1/{MESH}/").value:
        client.kv_delete(key)
    publish(client, OLD, tmp_path / "old")


def _kill_at(client: ConsulClient, cut: int, when: str) -> None:
    """Let the client's ``cut``-th request be its last."""
    transport = client._transport
    ask = transport._ask
    count = 0

    def counted(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count > cut or (count == cut and when == "before"):
            raise KilledError
        answer = ask(*arguments)  # type: ignore[arg-type]
        if count == cut:
            raise KilledError
        return answer

    transport._ask = counted  # type: ignore[assignment,method-assign]


@pytest.mark.parametrize("cut", [8, 10])
def test_a_command_that_is_killed_for_good_is_followed_by_one_that_ends_its_work(
    consul_dev: ConsulServer, client: ConsulClient, tmp_path: Path, cut: int
) -> None:
    publish(client, OLD, tmp_path / "old")
    NEW.write(tmp_path / "new")
    with Gate((consul_dev.host, consul_dev.ports["http"])) as gate:
        run: list[subprocess.Popen[str]] = []
        is_started = threading.Event()

        def kill(number: int) -> None:
            if number == cut:
                is_started.wait(_END_S)
                run[0].send_signal(signal.SIGKILL)
                run[0].wait(_END_S)

        gate.before = kill
        run.append(command(gate.place, tmp_path / "new"))
        is_started.set()
        run[0].communicate(timeout=_END_S)
        assert run[0].returncode == -signal.SIGKILL
        assert len(gate.passed) == cut

    end_sessions(client)
    publish(client, NEW, tmp_path / "again", time.time_ns() // 1_000_000)

    check(client, NEW)


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
    thread.join(_END_S)

    assert [one.is_changed for one in done] == [True]
    check(client, OLD)


# --- tokens -----------------------------------------------------------------------------------


def test_without_the_right_to_write_nothing_is_written_and_it_is_said(
    consul_dev: ConsulServer, client: ConsulClient, tmp_path: Path
) -> None:
    publish(client, OLD, tmp_path / "old")
    with Gate((consul_dev.host, consul_dev.ports["http"])) as gate:

        def withdraw(number: int) -> None:
            if number == 7:
                gate.mode = "403"

        gate.before = withdraw
        with (
            consul_at(consul_dev, gate) as near,
            pytest.raises(ConsulDeniedError, match="Permission denied"),
        ):
            publish(near, NEW, tmp_path / "new", NOW + 1)

    end_sessions(client)
    found = values(client)
    for node in nodes_of(found):
        assert files_of(found, node) in [m.files(node) for m in (OLD, NEW) if node in m.nodes]


def test_no_token_is_ever_seen_in_what_the_command_says(
    consul_dev: ConsulServer, tmp_path: Path
) -> None:
    OLD.write(tmp_path)
    with Gate((consul_dev.host, consul_dev.ports["http"]), mode="403") as gate:
        token = "5e7c0de5-canary-4bad-8f00d"
        run = subprocess.run(
            [str(PROGRAM), "publish", "consul", "--out", str(tmp_path), "-vv"],
            capture_output=True,
            text=True,
            env={**os.environ, "CONSUL_HTTP_ADDR": gate.place, "CONSUL_HTTP_TOKEN": token},
            timeout=_END_S,
            check=False,
        )

    assert run.returncode == 3
    assert "canary" not in run.stdout + run.stderr
