"""What can happen to a run of `meshc consul sync`, at every one of its calls."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from meshc.consul.client import ConsulClient
from meshc.consul.settings import ConsulSettings
from meshc.delivery.register.desired import desired_registration
from meshc.delivery.register.facts import read_mesh_facts
from meshc.delivery.register.sync import SyncLimits, SyncReport, lock_key, sync_catalogue
from tests.delivery.register.between import Between, CutOffError, Question
from tests.delivery.register.samples import HOSTS, Mesh, expected, fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.delivery.register.conftest import Registrar

pytestmark = pytest.mark.consul


def free_the_lock(registrar: Registrar) -> None:
    """What time does after a run that was killed: its session ends, and with it its lock."""
    key = lock_key(registrar.mesh.name)
    held = registrar.client.kv_get(key).value
    registrar.client.kv_delete(key)
    if held is not None and held.session:
        registrar.client.session_destroy(held.session)


@dataclass(slots=True)
class Killer:
    """Kills a process at the n-th question of a run."""

    at: int
    is_answered: bool
    process: subprocess.Popen[bytes] | None = None

    def before(self, question: Question) -> None:
        if not self.is_answered:
            self._look(question)

    def after(self, question: Question) -> None:
        if self.is_answered:
            self._look(question)

    def _look(self, question: Question) -> None:
        if question.number >= self.at:
            assert self.process is not None
            self.process.kill()
            raise CutOffError


def run_and_kill(between: Between, killer: Killer, out: Path) -> int:
    """Run a sync in a process of its own; return its exit code, negative if it was killed."""
    between.before, between.after = killer.before, killer.after
    between.questions.clear()
    environment = {**os.environ, "CONSUL_HTTP_ADDR": between.address}
    killer.process = subprocess.Popen(
        [sys.executable, "-m", "meshc", "consul", "sync", "-q", "--out", str(out)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return killer.process.wait(60)
    finally:
        killer.process.kill()
        killer.process.wait()


def assert_every_host_is_whole(registrar: Registrar) -> None:
    for name, services in registrar.registered().items():
        node = registrar.client.catalog_node_services(name).value
        assert node is not None
        addresses = {address for _, address, _ in services.values()}
        assert addresses == {node["Node"]["Address"]}, name
        assert len(services) == 2, name


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_is_killed_at_any_call_is_finished_by_the_next(
    registrar: Registrar, between: Between, when: str
) -> None:
    """Every host is whole at every moment, and none is there twice in the end."""
    mesh = registrar.mesh
    fill(mesh, 1)
    old = mesh.build().rename(mesh.folder / "old")
    fill(mesh, 2, hosts=HOSTS - 5)
    mesh.put("web", "web1", "10.0.3.1")
    new = mesh.build()
    codes = []
    for at in range(1, 30):
        assert registrar.run_only("sync", "--allow-shrink", "--out", str(old)).code == 0

        codes.append(run_and_kill(between, Killer(at, when == "after"), new))

        assert_every_host_is_whole(registrar)
        free_the_lock(registrar)
        assert registrar.run_only("sync").code == 0
        assert registrar.registered() == expected(mesh), at
        assert "OK (Changed=false)" in registrar.run_only("sync").out
        if codes[-1] >= 0:
            break
    assert codes[-1] == 0, "it was not killed in the end"
    assert len(codes) > 8, "it was killed at all of its calls"
    assert set(codes[:-1]) == {-9}


def test_hosts_that_are_done_are_told_apart_from_those_that_are_not(
    registrar: Registrar, between: Between
) -> None:
    fill(registrar.mesh, 1, hosts=50)
    written: list[Question] = []

    def fail_the_second(question: Question) -> tuple[int, str] | None:
        if question.is_write_of_entries:
            written.append(question)
            if len(written) == 2:
                return 500, "rpc error making call: No cluster leader"
        return None

    between.before = fail_the_second

    answer = registrar.through(between, "--format", "json")

    assert answer.code == 3
    data = answer.data
    assert (data["ok"], data["changed"]) == (False, True)
    assert "No cluster leader" in data["error"]
    assert "No cluster leader" in answer.err
    done = {host["name"] for host in data["hosts"]}
    whole = {name for name, services in registrar.registered().items() if len(services) == 2}
    assert done == whole
    assert 0 < len(done) < 50


def test_a_failed_run_does_not_say_that_nothing_changed(
    registrar: Registrar, between: Between
) -> None:
    between.before = lambda question: (500, "boom") if question.is_write_of_entries else None

    answer = registrar.through(between)

    assert answer.code == 3
    assert "OK" not in answer.out
    assert "FAILED (Changed=false)" in answer.err
    assert "3 not done" in answer.err
    assert registrar.registered() == {}


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
@pytest.mark.parametrize(
    "path",
    ["/v1/session/create", "/v1/kv/", "/v1/catalog/nodes", "/v1/catalog/service/", "/v1/txn"],
)
def test_no_error_of_consul_is_ignored(
    registrar: Registrar, between: Between, path: str, status: int
) -> None:
    if path == "/v1/catalog/service/":
        registrar.run("sync")
        registrar.mesh.put("app", "app1", "10.0.0.9")
    before = registrar.registered()
    between.before = lambda question: (status, "no") if question.path.startswith(path) else None

    answer = registrar.through(between, "--wait", "0")

    assert answer.code == 3
    assert "OK" not in answer.out
    assert answer.err
    assert registrar.registered() == before


def test_an_answer_that_is_lost_is_not_taken_for_a_success(
    registrar: Registrar, between: Between
) -> None:
    def lose(question: Question) -> None:
        if question.is_write_of_entries:
            raise CutOffError

    between.after = lose

    answer = registrar.through(between)

    assert answer.code == 3
    assert "FAILED (Changed=false)" in answer.err
    assert registrar.registered() == expected(registrar.mesh), "it was done all the same"
    assert "OK (Changed=false)" in registrar.run("sync").out


def test_a_consul_that_is_down_is_said_with_exit_code_3(registrar: Registrar) -> None:
    for command in ("plan", "sync", "status"):
        answer = registrar.run(command, "--consul-address", "http://127.0.47.9:1")

        assert answer.code == 3
        assert "Consul at http://127.0.47.9:1 does not answer" in answer.err
        assert "OK" not in answer.out


def test_what_somebody_changed_between_reading_and_writing_is_decided_anew(
    registrar: Registrar, between: Between
) -> None:
    registrar.run("sync")
    registrar.mesh.put("app", "app1", "10.0.0.9")
    changed: list[Question] = []

    def change(question: Question) -> None:
        if question.is_write_of_entries and not changed:
            changed.append(question)
            name = registrar.name("app1")
            found = registrar.client.catalog_node_services(name).value
            assert found is not None
            meta = found["Node"]["Meta"]
            registrar.client.catalog_register(
                {"Node": name, "Address": "10.6.6.6", "NodeMeta": meta}
            )

    between.before = change

    answer = registrar.through(between)

    assert answer.code == 0
    assert changed
    assert len([one for one in between.questions if one.is_write_of_entries]) == 2
    assert registrar.registered() == expected(registrar.mesh)


def test_a_node_that_somebody_makes_meanwhile_is_not_taken_over(
    registrar: Registrar, between: Between
) -> None:
    name = registrar.name("app2")

    def make(question: Question) -> None:
        if question.is_write_of_entries:
            registrar.client.catalog_register({"Node": name, "Address": "10.6.6.6"})

    between.before = make

    answer = registrar.through(between)

    assert answer.code == 1
    assert f'there is a node "{name}" that is not of this mesh' in answer.err
    found = registrar.client.catalog_node_services(name).value
    assert found is not None
    assert found["Node"]["Address"] == "10.6.6.6"
    registrar.client.catalog_deregister(name)


def test_somebody_who_changes_it_all_the_time_is_said_and_does_not_hold_a_run_for_ever(
    registrar: Registrar, between: Between
) -> None:
    registrar.run("sync")
    registrar.mesh.put("app", "app1", "10.0.0.9")
    name = registrar.name("app1")

    def change(question: Question) -> None:
        if question.is_write_of_entries:
            found = registrar.client.catalog_node_services(name).value
            assert found is not None
            registrar.client.catalog_register(
                {
                    "Node": name,
                    "Address": f"10.6.6.{question.number % 250}",
                    "NodeMeta": found["Node"]["Meta"],
                }
            )

    between.before = change

    answer = registrar.through(between)

    assert answer.code == 3
    assert "somebody else changes the entries of this mesh all the time" in answer.err


def test_a_run_that_lost_its_lock_writes_nothing(registrar: Registrar, between: Between) -> None:
    def end_the_session(question: Question) -> None:
        if question.is_write_of_entries:
            held = registrar.client.kv_get(lock_key(registrar.mesh.name)).value
            assert held is not None
            registrar.client.session_destroy(held.session)

    between.before = end_the_session

    answer = registrar.through(between)

    assert answer.code == 3
    assert "the lock of registration was lost" in answer.err
    assert registrar.registered() == {}


def test_a_run_waits_for_another_one_only_as_long_as_it_is_told(registrar: Registrar) -> None:
    session = registrar.client.session_create("another run", ttl=30, lock_delay=0)
    key = lock_key(registrar.mesh.name)
    assert registrar.client.acquire(key, session, b'{"purpose":"x","host":"h","process":1}')

    answer = registrar.run("sync", "--wait", "0")

    assert answer.code == 3
    assert "is held by somebody else: x on h, process 1" in answer.err
    assert registrar.registered() == {}
    assert registrar.run("plan").code == 0
    registrar.client.session_destroy(session)


def test_of_two_runs_at_once_one_wins_whole(registrar: Registrar, tmp_path: Path) -> None:
    """Whoever comes second decides upon what the first has left, not upon what it saw before."""
    mesh = registrar.mesh
    bundles = []
    for third in (1, 2):
        other = Mesh(tmp_path / str(third), mesh.name)
        other.folder.mkdir()
        fill(other, third)
        other.put("only", f"only{third}", f"10.9.{third}.1")
        facts = read_mesh_facts(other.build())
        desired = desired_registration(mesh.name, facts.instances, admin_service="envoy-admin")
        bundles.append((other, desired.nodes))
    settings = ConsulSettings(address=registrar.server.address)
    limits = SyncLimits(max_shrink=None, patience=60)
    for _ in range(6):
        reports = [SyncReport(), SyncReport()]

        def sync(number: int, reports: list[SyncReport] = reports) -> None:
            with ConsulClient(settings) as client:
                nodes = bundles[number][1]
                sync_catalogue(client, mesh.name, nodes, limits, reports[number])

        threads = [threading.Thread(target=sync, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)

        assert not any(thread.is_alive() for thread in threads)
        assert all(report.planned.registered or report.done for report in reports)
        assert registrar.registered() in [expected(other) for other, _ in bundles]
