"""`meshc consul plan`, `sync` and `status` against a real Consul."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.delivery.register.conftest import Registrar

pytestmark = pytest.mark.consul


def test_every_host_is_registered_with_its_services_and_its_admin_interface(
    registrar: Registrar,
) -> None:
    mesh = registrar.mesh.name

    answer = registrar.run("sync")

    assert answer.code == 0
    assert f"OK (Changed=true): mesh {mesh}: 3 added, 0 changed, 0 removed" in answer.out
    assert registrar.registered() == {
        f"meshc-{mesh}-app1": {
            f"meshc:{mesh}:service:app:app1": ("app", "10.0.0.1", 8000),
            f"meshc:{mesh}:admin:app1": ("envoy-admin", "10.0.0.1", 9901),
        },
        f"meshc-{mesh}-app2": {
            f"meshc:{mesh}:service:app:app2": ("app", "10.0.0.2", 8000),
            f"meshc:{mesh}:admin:app2": ("envoy-admin", "10.0.0.2", 9901),
        },
        f"meshc-{mesh}-web1": {
            f"meshc:{mesh}:service:web:web1": ("web", "10.0.0.3", 8000),
            f"meshc:{mesh}:admin:web1": ("envoy-admin", "10.0.0.3", 9901),
        },
    }


def test_metadata_tags_and_weight_are_what_consul_shows(registrar: Registrar) -> None:
    mesh = registrar.mesh
    mesh.settings = {"labels": {"env": "test"}}
    mesh.documents = {"app": {"labels": {"tier": "back"}}}
    mesh.put(
        "app",
        "app1",
        "10.0.0.1",
        weight=3,
        locality={"region": "east", "zone": "east-1"},
        labels={"example.com/rack": "r1"},
    )

    registrar.run("sync")

    node = registrar.client.catalog_node_services(registrar.name("app1")).value
    assert node is not None
    assert node["Node"]["Meta"] == {
        "external-node": "true",
        "external-probe": "false",
        "meshc-mesh": mesh.name,
        "meshc-node": "app1",
        "meshc-services": "app",
    }
    service = node["Services"][f"meshc:{mesh.name}:service:app:app1"]
    assert service["Tags"] == ["meshc", f"mesh-{mesh.name}", "http"]
    assert service["Weights"] == {"Passing": 3, "Warning": 3}
    meta = service["Meta"]
    assert len(meta.pop("version")) == 16
    assert meta == {
        "managed-by": "meshc",
        "mesh": mesh.name,
        "node": "app1",
        "locality": "east/east-1",
        "protocol": "http",
        "label-env": "test",
        "label-example_com_rack": "r1",
        "service-label-tier": "back",
    }
    admin = node["Services"][f"meshc:{mesh.name}:admin:app1"]
    assert admin["Meta"]["services"] == "app"


def test_nothing_is_written_where_nothing_changed(registrar: Registrar) -> None:
    registrar.run("sync")
    before = registrar.indexes()

    answer = registrar.run("sync")

    assert answer.code == 0
    assert "OK (Changed=false)" in answer.out
    assert "3 unchanged" in answer.out
    assert registrar.indexes() == before


def test_an_address_that_moved_is_updated_and_nothing_else_is_written(
    registrar: Registrar,
) -> None:
    registrar.run("sync")
    before = registrar.indexes()
    registrar.mesh.put("app", "app2", "10.0.0.9", 8009)

    answer = registrar.run("sync")

    mesh, name = registrar.mesh.name, registrar.name("app2")
    assert "OK (Changed=true)" in answer.out
    assert "0 added, 1 changed, 0 removed" in answer.out
    assert registrar.services(name) == {
        f"meshc:{mesh}:service:app:app2": ("app", "10.0.0.9", 8009),
        f"meshc:{mesh}:admin:app2": ("envoy-admin", "10.0.0.9", 9901),
    }
    node = registrar.client.catalog_node_services(name).value
    assert node is not None
    assert node["Node"]["Address"] == "10.0.0.9"
    changed = {key for key, index in registrar.indexes().items() if before[key] != index}
    assert {key.partition(" ")[0] for key in changed} == {name}


def test_app1_is_taken_out_without_app10(registrar: Registrar) -> None:
    registrar.mesh.put("app", "app10", "10.0.0.10")
    registrar.mesh.put("app1", "web1", "10.0.0.3", 8001)
    registrar.mesh.put("app10", "web1", "10.0.0.3", 8002)
    registrar.run("sync")
    registrar.mesh.take_out("app", "app1")

    registrar.run("sync")

    assert set(registrar.registered()) == set(map(registrar.name, ["app2", "app10", "web1"]))
    registrar.mesh.take_out("app1", "web1")
    registrar.run("sync")
    names = {name for name, _, _ in registrar.services(registrar.name("web1")).values()}
    assert names == {"app10", "web", "envoy-admin"}


def test_a_host_that_left_the_mesh_loses_its_registration(registrar: Registrar) -> None:
    registrar.run("sync")
    registrar.mesh.take_out("web", "web1")

    answer = registrar.run("sync")

    assert "- web1" in answer.out
    assert registrar.client.catalog_node_services(registrar.name("web1")).value is None
    assert set(registrar.registered()) == set(map(registrar.name, ["app1", "app2"]))


def test_a_renamed_host_is_registered_once(registrar: Registrar) -> None:
    registrar.run("sync")
    registrar.mesh.take_out("web", "web1")
    registrar.mesh.put("web", "web-one", "10.0.0.3")

    registrar.run("sync")

    assert set(registrar.registered()) == set(map(registrar.name, ["app1", "app2", "web-one"]))


def test_a_host_whose_name_changes_its_case_converges(registrar: Registrar) -> None:
    registrar.run("sync")
    registrar.mesh.take_out("web", "web1")
    registrar.mesh.put("web", "Web1", "10.0.0.3")

    registrar.run("sync")
    registrar.run("sync")

    assert "OK (Changed=false)" in registrar.run("sync").out
    assert registrar.name("Web1") in registrar.registered()


def test_a_service_that_comes_and_goes_leaves_no_second_entry(registrar: Registrar) -> None:
    for number in range(4):
        registrar.mesh.put("flap", "app1", "10.0.0.1", 8100 + number)
        registrar.run("sync")
        registrar.mesh.take_out("flap", "app1")
        registrar.run("sync")
    registrar.mesh.put("flap", "app1", "10.0.0.1", 8200)
    registrar.run("sync")

    found = registrar.client.catalog_service(
        "flap", filter_expression=f'ServiceMeta["mesh"] == "{registrar.mesh.name}"'
    ).value
    assert [one["ServicePort"] for one in found] == [8200]


def test_plan_says_it_and_does_nothing(registrar: Registrar) -> None:
    registrar.run("sync")
    registrar.mesh.put("app", "app3", "10.0.0.33")
    registrar.mesh.put("app", "app2", "10.0.0.9")
    registrar.mesh.take_out("web", "web1")
    before = registrar.indexes()

    answer = registrar.run("plan")

    assert answer.code == 0
    lines = answer.out.splitlines()
    assert "+ app3  app 10.0.0.33:8000, envoy-admin 10.0.0.33:9901" in lines
    at = lines.index("~ app2")
    assert lines[at + 1] == "    ~ node address: 10.0.0.2 → 10.0.0.9"
    assert lines[at + 2].startswith("    ~ app address: 10.0.0.2 → 10.0.0.9, meta.version: ")
    assert any(line.startswith("- web1  ") for line in lines)
    assert "1 to add, 1 to change, 1 to remove, 1 unchanged" in lines[-1]
    assert registrar.indexes() == before


def test_plan_is_there_for_programs_too(registrar: Registrar) -> None:
    registrar.mesh.hosts = {"web": registrar.mesh.hosts["web"]}

    answer = registrar.run("plan", "--format", "json")

    data = answer.data
    assert (data["ok"], data["mesh"]) == (True, registrar.mesh.name)
    (host,) = data["hosts"]
    assert (host["action"], host["node"], host["name"]) == ("add", "web1", registrar.name("web1"))
    assert [step["put"] for step in host["steps"]] == ["node", "service", "service"]
    assert host["steps"][1]["address"] == "10.0.0.3"
    manifest = json.loads((registrar.mesh.out / "manifest.json").read_text())
    assert data["build"] == manifest["generation"]


def test_status_finds_no_drift_after_a_sync(registrar: Registrar) -> None:
    registrar.run("sync")

    answer = registrar.run("status")

    assert answer.code == 0
    assert answer.out.startswith("OK: ")
    assert registrar.run("status", "--format", "json").data["ok"] is True


def test_status_finds_what_somebody_changed_by_hand(registrar: Registrar) -> None:
    registrar.run("sync")
    mesh = registrar.mesh.name
    registrar.client.catalog_deregister(registrar.name("app1"))
    registrar.client.catalog_register(
        {
            "Node": registrar.name("app2"),
            "SkipNodeUpdate": True,
            "Address": "10.0.0.2",
            "Service": {
                "ID": f"meshc:{mesh}:service:app:app2",
                "Service": "app",
                "Address": "10.6.6.6",
                "Port": 8000,
                "Meta": {"managed-by": "meshc", "mesh": mesh, "node": "app2"},
            },
        }
    )

    answer = registrar.run("status")

    assert answer.code == 1
    assert "DRIFT: " in answer.out
    assert "1 missing, 1 different, 0 too many, 1 unchanged" in answer.out
    assert "address: 10.6.6.6 → 10.0.0.2" in answer.out
    data = registrar.run("status", "--format", "json").data
    assert data["ok"] is False
    assert [(host["action"], host["node"]) for host in data["hosts"]] == [
        ("add", "app1"),
        ("change", "app2"),
    ]
    registrar.run("sync")
    assert registrar.run("status").code == 0


def test_a_service_that_somebody_took_out_of_a_node_is_missed(registrar: Registrar) -> None:
    registrar.run("sync")
    admin = f"meshc:{registrar.mesh.name}:admin:app1"
    registrar.client.catalog_deregister(registrar.name("app1"), service_id=admin)

    assert registrar.run("status").code == 1
    registrar.run("sync")
    assert admin in registrar.services(registrar.name("app1"))
