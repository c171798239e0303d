"""`meshc consul sync` where Consul denies what no rule allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.consul.errors import ConsulDeniedError
from meshc.delivery.register.desired import desired_registration
from meshc.delivery.register.facts import read_mesh_facts
from meshc.delivery.register.sync import SyncLimits, SyncReport, sync_catalogue
from tests.consul.roles import rules, token_for
from tests.delivery.register.samples import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.consul.cluster import Cluster
    from tests.delivery.register.conftest import Answer, Registrar

pytestmark = pytest.mark.consul


def registrar_rules(guarded: Registrar, *services: str) -> list[str]:
    """Those of the role, for some services only."""
    given = {"MESH": guarded.mesh.name, "AGENT": guarded.server.name}
    return [rules("registrar", SERVICE=service, **given) for service in services]


@pytest.fixture
def guarded(registrar: Registrar, consul_cluster: Cluster) -> Iterator[Registrar]:
    """The same before a Consul that denies what no rule allows."""
    server = consul_cluster.first
    with server.client() as client:
        registrar.server, registrar.client = server, client
        yield registrar


def with_token(guarded: Registrar, token: str, *arguments: str) -> Answer:
    file = guarded.mesh.folder / "token"
    file.write_text(token)
    return guarded.run(*arguments, "--consul-token-file", str(file))


def test_the_rules_of_the_role_are_enough(guarded: Registrar) -> None:
    token = token_for(guarded.server, *registrar_rules(guarded, "app", "web"))

    for command in ("plan", "sync", "status"):
        assert with_token(guarded, token, command).code == 0
    assert len(guarded.registered()) == 3


def test_a_run_that_may_not_write_one_service_does_not_say_it_is_done(guarded: Registrar) -> None:
    token = token_for(guarded.server, *registrar_rules(guarded, "app"))

    answer = with_token(guarded, token, "sync")

    assert answer.code == 3
    assert "lacks permission 'service:write' on \"web\"" in answer.err
    assert "OK" not in answer.out
    assert guarded.registered() == {}


def test_a_token_that_ends_within_a_run_stops_it_there(guarded: Registrar) -> None:
    """The hosts of the first transaction are done and said to be, no other is."""
    token = token_for(guarded.server, *registrar_rules(guarded, "app", "admin"))
    fill(guarded.mesh, 1, hosts=50)
    facts = read_mesh_facts(guarded.mesh.build())
    desired = desired_registration(guarded.mesh.name, facts.instances, admin_service="admin")
    report = SyncReport()
    client = guarded.server.client(token)
    transaction = client.txn

    def end_after_the_first(operations: list[object]) -> object:
        done = transaction(operations)  # type: ignore[arg-type]
        guarded.server.end_token(token)
        return done

    guarded.monkeypatch.setattr(client, "txn", end_after_the_first)
    with client, pytest.raises(ConsulDeniedError, match="ACL not found"):
        sync_catalogue(
            client,
            guarded.mesh.name,
            desired.nodes,
            SyncLimits(max_shrink=None, patience=5),
            report,
        )

    done = {host.name for host in report.done}
    assert 0 < len(done) < 50
    assert done <= set(guarded.registered())
    assert {name for name, found in guarded.registered().items() if len(found) == 2} == done


@pytest.mark.parametrize("command", ["plan", "status", "sync"])
def test_a_token_that_sees_a_part_only_is_denied(guarded: Registrar, command: str) -> None:
    """Or everything that it does not see would be taken for missing."""
    guarded.run("sync")
    whole = registrar_rules(guarded, "app")[0]
    part = "\n".join(line for line in whole.splitlines() if '_prefix ""' not in line)

    answer = with_token(guarded, token_for(guarded.server, part), command)

    assert part != whole
    assert answer.code == 3
    assert "shows only a part" in answer.err


@pytest.mark.parametrize("command", ["plan", "status", "sync"])
def test_who_has_no_token_is_denied_and_not_told_that_nothing_is_there(
    guarded: Registrar, command: str
) -> None:
    """Consul itself shows nobody in particular an empty catalogue, and does not say why."""
    guarded.run("sync")
    guarded.monkeypatch.delenv("CONSUL_HTTP_TOKEN")
    guarded.monkeypatch.setattr(guarded.server, "admin_token", "")

    answer = guarded.run(command)

    assert answer.code == 3
    assert "denies that" in answer.err
    assert not answer.out.startswith("+")


def test_no_token_is_ever_shown(guarded: Registrar) -> None:
    token = token_for(guarded.server, 'key "none" { policy = "read" }')

    answer = with_token(guarded, token, "sync", "-v", "-v")

    assert answer.code == 3
    assert token not in answer.out + answer.err
