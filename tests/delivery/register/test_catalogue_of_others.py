"""What `meshc consul sync` leaves alone, refuses, and takes out when it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.delivery.register.conftest import Registrar

pytestmark = pytest.mark.consul


def test_hosts_outside_the_mesh_are_not_registered(registrar: Registrar) -> None:
    registrar.mesh.hosts["db"] = {
        "db1": {"name": "db1", "externalAddr": {"host": "10.1.1.1", "port": 5432}}
    }
    registrar.mesh.documents["db"] = {"protocol": "TCP"}

    registrar.run("sync")

    assert registrar.name("db1") not in registrar.registered()
    assert len(registrar.registered()) == 3


def test_other_meshes_and_other_entries_are_not_touched(registrar: Registrar) -> None:
    """Neither nodes nor services of others, however much they look like ours."""
    client, mesh = registrar.client, registrar.mesh.name
    meta = {"external-node": "true", "meshc-mesh": f"{mesh}-2", "meshc-node": "app1"}
    client.catalog_register(
        {
            "Node": f"meshc-{mesh}-2-app1",
            "Address": "10.5.0.1",
            "NodeMeta": meta,
            "Service": {
                "ID": "x",
                "Service": "app",
                "Meta": {"managed-by": "meshc", "mesh": f"{mesh}-2", "node": "app1"},
            },
        }
    )
    registrar.run("sync")
    theirs = {"ID": "theirs", "Service": "app", "Port": 1, "Meta": {"mesh": mesh}}
    client.catalog_register(
        {"Node": registrar.name("web1"), "SkipNodeUpdate": True, "Service": theirs}
    )
    registrar.mesh.take_out("web", "web1")

    answer = registrar.run("sync")

    assert "stays, because of services of others: theirs" in answer.out
    assert registrar.services(registrar.name("web1")) == {"theirs": ("app", "", 1)}
    assert registrar.services(f"meshc-{mesh}-2-app1") == {"x": ("app", "", 0)}
    assert "OK (Changed=false)" in registrar.run("sync").out
    client.catalog_deregister(f"meshc-{mesh}-2-app1")
    client.catalog_deregister(registrar.name("web1"))


def test_checks_that_others_made_stay_when_a_host_changes(registrar: Registrar) -> None:
    """Programs such as consul-esm check nodes without an agent, and write what they find."""
    registrar.run("sync")
    name, service = registrar.name("app1"), f"meshc:{registrar.mesh.name}:service:app:app1"
    check = {"CheckID": "theirs", "Name": "theirs", "Status": "critical", "ServiceID": service}
    registrar.client.catalog_register(
        {"Node": name, "SkipNodeUpdate": True, "Check": {"Node": name, **check}}
    )
    registrar.mesh.put("app", "app1", "10.0.0.9")

    assert registrar.run("sync").code == 0

    (found,) = registrar.client.health_service(
        "app", filter_expression=f'Node.Node == "{name}"'
    ).value
    assert found["Service"]["Address"] == "10.0.0.9"
    assert [one["CheckID"] for one in found["Checks"]] == ["theirs"]


def test_ipv6_is_registered_as_it_is_and_shown_in_brackets(registrar: Registrar) -> None:
    registrar.mesh.put("app", "app1", "fd00::1")

    answer = registrar.run("sync")

    assert "app [fd00::1]:8000, envoy-admin [fd00::1]:9901" in answer.out
    own = f"meshc:{registrar.mesh.name}:service:app:app1"
    assert registrar.services(registrar.name("app1"))[own] == ("app", "fd00::1", 8000)


def test_a_node_of_somebody_else_is_not_taken_over(registrar: Registrar) -> None:
    name = registrar.name("app1")
    registrar.client.catalog_register({"Node": name.upper(), "Address": "10.7.7.7"})

    answer = registrar.run("sync")

    assert answer.code == 1
    assert f'refused: there is a node "{name}" that is not of this mesh' in answer.err
    assert "Nothing was done (Changed=false)" in answer.err
    assert registrar.registered() == {}
    assert registrar.run("plan").code == 1
    assert registrar.run("status").code == 1
    registrar.client.catalog_deregister(name)


def test_a_mesh_that_shrinks_too_much_is_refused_until_it_is_allowed(
    registrar: Registrar,
) -> None:
    registrar.run("sync")
    before = registrar.indexes()
    registrar.mesh.hosts = {"web": registrar.mesh.hosts["web"]}

    answer = registrar.run("sync")

    assert answer.code == 1
    assert "2 of 3 hosts would lose what they have registered (app1, app2)" in answer.err
    assert "--allow-shrink" in answer.err
    assert registrar.indexes() == before
    assert registrar.run("plan").code == 1
    assert registrar.run("plan", "--max-shrink", "0.7").code == 0
    assert registrar.run("sync", "--allow-shrink").code == 0
    assert set(registrar.registered()) == {registrar.name("web1")}


def test_a_whole_mesh_is_taken_out_when_it_is_said(registrar: Registrar) -> None:
    registrar.run("sync")

    answer = registrar.run("sync", "--remove-all")

    assert answer.code == 0
    assert "3 removed" in answer.out
    assert registrar.registered() == {}


def test_a_mesh_without_a_bundle_is_taken_out_by_its_name(registrar: Registrar) -> None:
    registrar.run("sync")
    registrar.mesh.out.rename(registrar.mesh.out.with_name("elsewhere"))

    assert registrar.run_only("sync", "--remove-all").code == 3
    assert registrar.run_only("sync", "--mesh", registrar.mesh.name).code == 2
    answer = registrar.run_only("sync", "--remove-all", "--mesh", registrar.mesh.name)

    assert answer.code == 0
    assert registrar.registered() == {}


def test_the_specs_are_never_read(registrar: Registrar) -> None:
    registrar.mesh.build()
    for document in (registrar.mesh.folder / "specs").iterdir():
        document.write_text("no: spec\nat: all\n")

    assert registrar.run_only("sync").code == 0
    assert len(registrar.registered()) == 3


def test_the_number_of_calls_grows_with_services_and_not_with_hosts(registrar: Registrar) -> None:
    for number in range(3, 60):
        registrar.mesh.put("app", f"app{number}", f"10.0.1.{number}")
    first = registrar.run("sync", "--format", "json").data
    assert (first["ok"], first["changed"], len(first["hosts"])) == (True, True, 60)

    again = registrar.run("sync", "--format", "json").data

    assert (again["changed"], again["unchanged"]) == (False, 60)
    # Two for all, one for each of the three names, and the lock's.
    assert again["calls"] <= 10
    assert first["calls"] <= 14


def test_words_of_others_do_not_reach_the_terminal_as_commands(registrar: Registrar) -> None:
    registrar.run("sync")
    mesh = registrar.mesh.name
    registrar.client.catalog_register(
        {
            "Node": registrar.name("web1"),
            "SkipNodeUpdate": True,
            "Service": {
                "ID": f"meshc:{mesh}:service:web:web1",
                "Service": "web",
                "Tags": ["\x1b[2Jforged\nOK (Changed=false)"],
                "Meta": {"managed-by": "meshc", "mesh": mesh, "node": "web1"},
            },
        }
    )

    answer = registrar.run("plan")

    assert "\x1b" not in answer.out
    assert "\\x1b[2Jforged\\nOK" in answer.out
