"""What shall be with an agent, what it has → what to tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.register.local import AgentState, LocalChanges, definitions, plan_local
from tests.delivery.register.samples import entries, instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MESH = ("app1", "app2")


def wanted(*services: str, node: str = "app1", **more: Any) -> list[dict[str, Any]]:
    facts = [instance(service, node, **more) for service in services]
    return [one for host in entries("shop", *facts) for one in definitions(host)]


def told(*given: Iterable[Mapping[str, Any]]) -> AgentState:
    """What an agent shows after it was told."""
    services: dict[str, dict[str, Any]] = {}
    checks: dict[str, dict[str, Any]] = {}
    for definition in (one for part in given for one in part):
        kept = {key: value for key, value in definition.items() if key not in {"Name", "Checks"}}
        services[definition["ID"]] = {**kept, "Service": definition["Name"], "Datacenter": "dc1"}
        for check in definition["Checks"]:
            checks[check["CheckID"]] = {**check, "ServiceID": definition["ID"]}
    return AgentState(services=services, checks=checks)


def planned(given: list[dict[str, Any]], there: AgentState, node: str = "app1") -> LocalChanges:
    return plan_local("shop", node, given, there, is_in_mesh=lambda name: name in MESH)


def test_every_service_is_checked_at_its_listener_and_by_its_envoy() -> None:
    (host,) = entries("shop", instance("app", "app1", "fd00::1", admin_address="127.0.0.1"))

    app, admin = definitions(host)

    assert (app["ID"], app["Name"]) == ("meshc:shop:service:app:app1", "app")
    every = {"Interval": "10s", "Timeout": "2s"}
    ready = {"Name": "Envoy is ready", "HTTP": "http://127.0.0.1:9901/ready", **every}
    assert app["Checks"] == [
        {
            "CheckID": "meshc:shop:service:app:app1:listener",
            "Name": "inbound listener",
            "TCP": "[fd00::1]:8000",
            **every,
        },
        {"CheckID": "meshc:shop:service:app:app1:ready", **ready},
    ]
    assert admin["Checks"] == [{"CheckID": "meshc:shop:admin:app1:ready", **ready}]


@pytest.mark.parametrize(
    ("seconds", "spelled"), [(1, "1s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s")]
)
def test_times_are_spelled_as_consul_shows_them(seconds: int, spelled: str) -> None:
    (host,) = entries("shop", instance("app", "app1"))

    assert definitions(host, interval=seconds)[0]["Checks"][0]["Interval"] == spelled


def test_an_agent_that_has_nothing_is_told_everything() -> None:
    changes = planned(wanted("app"), told())

    assert [one["ID"] for one in changes.register] == [
        "meshc:shop:service:app:app1",
        "meshc:shop:admin:app1",
    ]
    assert changes.is_new == {one["ID"] for one in changes.register}


def test_an_agent_that_has_it_all_is_told_nothing() -> None:
    assert planned(wanted("app"), told(wanted("app"))) == LocalChanges(unchanged=2)


@pytest.mark.parametrize(
    ("key", "value"),
    [("port", 8001), ("labels", {"rack": "r1"}), ("weight", 2), ("admin_port", 9902)],
)
def test_what_differs_is_told_anew(key: str, value: Any) -> None:
    changes = planned(wanted("app", **{key: value}), told(wanted("app")))

    assert len(changes.register) == 2
    assert changes.is_new == frozenset()


def test_a_check_that_somebody_took_out_is_told_anew() -> None:
    there = told(wanted("app"))
    left = {key: one for key, one in there.checks.items() if not key.endswith("app1:listener")}

    changes = planned(wanted("app"), AgentState(services=there.services, checks=left))

    assert [one["Name"] for one in changes.register] == ["app"]


def test_a_check_at_another_interval_is_told_anew() -> None:
    (host,) = entries("shop", instance("app", "app1"))

    changes = planned(wanted("app"), told(definitions(host, interval=60)))

    assert len(changes.register) == 2


def test_app1_goes_and_app10_stays() -> None:
    there = told(wanted("app", "app1", "app10"))

    changes = planned(wanted("app", "app10"), there)

    assert changes.deregister == ("meshc:shop:service:app1:app1",)


def test_services_of_others_stay() -> None:
    theirs: dict[str, dict[str, Any]] = {
        "plain": {"Service": "app", "Meta": None},
        "same-mesh": {"Service": "app", "Meta": {"mesh": "shop", "node": "app1"}},
        "other-mesh": {
            "Service": "app",
            "Meta": {"managed-by": "meshc", "mesh": "shop-2", "node": "app1"},
        },
    }

    assert planned([], AgentState(services=theirs, checks={})).deregister == ()


def test_another_envoy_on_the_host_keeps_its_own_as_long_as_it_is_in_the_mesh() -> None:
    there = told(wanted("app"), wanted("app", node="app2"), wanted("app", node="app3"))

    changes = planned(wanted("app"), there)

    assert changes.deregister == ("meshc:shop:admin:app3", "meshc:shop:service:app:app3")


def test_an_id_that_is_somebody_elses_is_not_taken_over() -> None:
    there = {"meshc:shop:admin:app1": {"Service": "theirs", "Meta": {}}}

    changes = planned(wanted("app"), AgentState(services=there, checks={}))

    assert changes.collisions == (
        'the agent has a service "meshc:shop:admin:app1" that is not of this mesh',
    )


def test_everything_is_told_anew_when_that_is_asked_for() -> None:
    changes = plan_local(
        "shop",
        "app1",
        wanted("app"),
        told(wanted("app")),
        is_in_mesh=lambda _node: True,
        is_again=True,
    )

    assert len(changes.register) == 2
    assert changes.is_new == frozenset()
