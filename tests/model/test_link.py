"""References, doubles, joined hosts: what the linked mesh says, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.model.link import _external, _instance
from meshc.model.mesh import (
    Address,
    ExternalHost,
    Instance,
    Locality,
    Service,
    ServiceName,
)
from meshc.spec.schema import HostSpec
from tests.model.reading import calls, good, host, lines, linked, node, only, related, service

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.model.mesh import Mesh

APP = service(host("app1"))
DB = service(host("db1", "10.0.0.9"))


def service_of(mesh: Mesh, name: str) -> Service:
    return {str(key): value for key, value in mesh.services.items()}[name]


# What a linked mesh says.


def test_services_hosts_and_dependencies_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    texts = {
        "z.yaml": service(host("b", "10.0.0.2"), host("a"), more=calls("y", "x")),
        "a/y.yaml": service(host("c", "10.0.0.3")),
        "x.yaml": service(host("d", "10.0.0.4")),
    }

    mesh = good(tmp_path, texts)

    assert list(mesh.services) == ["x", "y", "z"]
    assert list(mesh.nodes) == ["a", "b", "c", "d"]
    z = service_of(mesh, "z")
    assert [instance.node for instance in z.instances] == ["a", "b"]
    assert [upstream.service for upstream in z.upstreams] == ["x", "y"]


def test_an_instance_says_what_its_entry_says(tmp_path: Path) -> None:
    more = (
        "  egressHost: '::1'\n  weight: 5\n  labels: {rack: r1}\n"
        "  locality: {region: eu, zone: a}\n"
    )

    (instance,) = service_of(
        good(tmp_path, {"app.yaml": service(host("app1", "FD00::1", more))}), "app"
    ).instances

    assert isinstance(instance, Instance)
    assert (instance.service, instance.node) == ("app", "app1")
    assert instance.ingress == Address("fd00::1", 80)
    assert instance.substance == Address("127.0.0.1", 9000)
    assert (instance.egress_host, instance.weight) == ("::1", 5)
    assert instance.locality == Locality("eu", "a")
    assert instance.labels == {"rack": "r1"}
    assert str(instance.origin.span) == "app.yaml:3:3"


def test_an_external_host_says_whether_envoy_must_resolve_it(tmp_path: Path) -> None:
    text = (
        "protocol: HTTP\nhosts:\n- {name: b, externalAddr: {host: API.example.com., port: 8443}}\n"
        "- {name: a, externalAddr: {host: 192.0.2.1, port: 80}, weight: 7, "
        "locality: {region: eu}, labels: {x: y}}\n"
    )

    hosts = service_of(good(tmp_path, {"api.yaml": text}), "api").external_hosts

    assert [(one.name, one.address, one.has_dns_name) for one in hosts] == [
        ("a", Address("192.0.2.1", 80), False),
        ("b", Address("api.example.com", 8443), True),
    ]
    first: ExternalHost = hosts[0]
    assert (first.weight, first.locality, first.labels) == (7, Locality("eu", ""), {"x": "y"})


def test_a_dependency_may_be_described_in_a_later_file(tmp_path: Path) -> None:
    mesh = good(tmp_path, {"a.yaml": service(host("a1"), more=calls("db")), "db.yaml": DB})

    (upstream,) = service_of(mesh, "a").upstreams
    assert (upstream.consumer, upstream.service, upstream.egress_port) == ("a", "db", 9001)
    assert str(upstream.origin.span) == "a.yaml:7:3"


def test_two_services_may_call_each_other(tmp_path: Path) -> None:
    texts = {
        "a.yaml": service(host("a1"), more=calls("b")),
        "b.yaml": service(host("b1", "10.0.0.2"), more=calls("a")),
    }

    assert len(good(tmp_path, texts).services) == 2


def test_hosts_of_one_name_are_one_node(tmp_path: Path) -> None:
    texts = {
        "web.yaml": service(host("box")),
        "app.yaml": service(host("box", port=81, app=9001)),
    }

    mesh = good(tmp_path, texts)

    assert list(mesh.nodes) == ["box"]
    assert [instance.service for instance in node(mesh, "box").instances] == ["app", "web"]
    assert node(mesh, "box").cluster == "app+web"
    assert str(node(mesh, "box").origin.span) == "app.yaml:3:3"


def test_a_mesh_without_a_document_of_its_own_has_the_defaults(tmp_path: Path) -> None:
    mesh = good(tmp_path, {"app.yaml": APP})

    assert (mesh.settings.name, mesh.settings_digest, mesh.settings_origin) == ("mesh", "", None)


def test_the_settings_know_their_place(tmp_path: Path) -> None:
    mesh = good(tmp_path, {"app.yaml": APP, "mesh.yaml": "# Ours.\nname: shop\n"})

    assert mesh.settings_origin is not None
    assert str(mesh.settings_origin.span) == "mesh.yaml:2:1"
    assert str(mesh.settings_origin.at("name").key_span) == "mesh.yaml:2:1"
    assert str(mesh.settings_origin.at("name").span) == "mesh.yaml:2:7"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), True),
        (("hosts", 0, "name"), True),
        (("hosts", 1), False),
        (("hosts", 0, "labels"), False),
        (("protocol", "x"), False),
        (("hosts", "x"), False),
    ],
)
def test_an_origin_knows_whether_its_document_has_the_place(
    tmp_path: Path, path: tuple[str | int, ...], *, expected: bool
) -> None:
    origin = service_of(good(tmp_path, {"app.yaml": APP}), "app").origin

    assert origin.at(*path).exists is expected


# Facts about a node.

# What is refused.


def test_a_service_described_twice_is_reported_at_the_second_file(tmp_path: Path) -> None:
    finding = only(tmp_path, {"app.yaml": APP, "b.yaml": "# x\nname: app\n" + DB})

    assert lines((finding,)) == ['MC301 b.yaml:2:1: service "app" is described twice']
    assert related(finding) == ["app.yaml:1:1: the first one"]
    assert finding.hint == "a service is one document; give one of them another name"


def test_services_that_differ_only_in_case_are_reported_at_the_later_name(tmp_path: Path) -> None:
    finding = only(tmp_path, {"app.yaml": APP, "x/App.yaml": DB})

    assert lines((finding,)) == [
        'MC302 app.yaml:1:1: services "App" and "app" differ only in upper and lower case'
    ]
    assert related(finding) == ["x/App.yaml:1:1: the first one"]
    assert finding.hint == "rename one: their files would be the same on some systems"


@pytest.mark.parametrize("called", ["app", "App"])
def test_nobody_is_told_that_a_doubled_service_is_missing(tmp_path: Path, called: str) -> None:
    front = service(host("front1", "10.0.0.5"), more=calls(called))

    finding = only(tmp_path, {"app.yaml": APP, "x/App.yaml": DB, "front.yaml": front})

    assert finding.code == "MC302"


def test_hosts_that_differ_only_in_case_are_reported_at_the_later_name(tmp_path: Path) -> None:
    finding = only(tmp_path, {"app.yaml": APP, "db.yaml": service(host("App1", "10.0.0.9"))})

    assert lines((finding,)) == [
        'MC302 app.yaml:3:9: hosts "App1" and "app1" differ only in upper and lower case'
    ]
    assert related(finding) == ["db.yaml:3:9: the other one"]
    assert finding.hint == "write the name the same way everywhere, or rename one host"


def test_a_host_listed_twice_is_reported_at_the_second_entry(tmp_path: Path) -> None:
    finding = only(tmp_path, {"app.yaml": service(host("a"), host("a", "10.0.0.2"))})

    assert lines((finding,)) == ['MC304 app.yaml:6:9: host "a" is listed twice in service "app"']
    assert related(finding) == ["app.yaml:3:9: the first entry"]


def test_a_dependency_listed_twice_is_reported_at_the_second_entry(tmp_path: Path) -> None:
    texts = {"app.yaml": service(host("a"), more=calls("db", "db")), "db.yaml": DB}

    finding = only(tmp_path, texts)

    assert lines((finding,)) == [
        'MC305 app.yaml:9:9: service "app" lists its dependency "db" twice'
    ]
    assert related(finding) == ["app.yaml:7:9: the first entry"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("dbs", 'did you mean "db"?'),
        ("DB", 'did you mean "db"?'),
        (
            "ledger",
            (
                "add a document ledger.yaml; for a service outside the mesh its hosts have "
                "externalAddr"
            ),
        ),
    ],
)
def test_an_unknown_dependency_is_reported_with_the_nearest_name(
    tmp_path: Path, name: str, hint: str
) -> None:
    finding = only(tmp_path, {"app.yaml": service(host("a"), more=calls(name)), "db.yaml": DB})

    assert lines((finding,)) == [
        f'MC306 app.yaml:7:9: dependency "{name}" is not a service of this mesh'
    ]
    assert finding.hint == hint


def test_a_service_that_depends_on_itself_is_reported(tmp_path: Path) -> None:
    finding = only(tmp_path, {"app.yaml": service(host("a"), more=calls("app"))})

    assert lines((finding,)) == ['MC307 app.yaml:7:9: service "app" depends on itself']
    assert finding.hint == "an instance reaches its own service directly; remove the entry"


def test_a_protocol_mismatch_is_reported_with_both_places(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("a"), more=calls("db", more="  protocol: GRPC\n")),
        "db.yaml": DB,
    }

    finding = only(tmp_path, texts)

    assert lines((finding,)) == [
        'MC308 app.yaml:9:13: "app" speaks GRPC to "db", which speaks HTTP'
    ]
    assert related(finding) == ["db.yaml:1:11: what the service speaks"]


def test_a_dependency_that_says_the_right_protocol_is_fine(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("a"), more=calls("db", more="  protocol: HTTP\n")),
        "db.yaml": DB,
    }

    good(tmp_path, texts)


def test_a_dependency_without_hosts_gives_a_warning(tmp_path: Path) -> None:
    texts = {"app.yaml": service(host("a"), more=calls("db")), "db.yaml": "protocol: HTTP\n"}

    finding = only(tmp_path, texts)

    assert lines((finding,)) == [
        'MC309 app.yaml:7:9: dependency "db" has no hosts, so calls to it will fail'
    ]
    assert finding.severity.value == "warning"
    assert related(finding) == ["db.yaml:1:1: the service without hosts"]


def test_a_service_with_hosts_inside_and_outside_is_reported(tmp_path: Path) -> None:
    outside = "- {name: z, externalAddr: {host: z.com, port: 80}}\n"

    finding = only(tmp_path, {"app.yaml": service(host("a"), outside)})

    assert lines((finding,)) == [
        'MC311 app.yaml:6:27: service "app" has hosts inside and outside the mesh'
    ]
    assert related(finding) == ["app.yaml:4:16: a host inside the mesh"]


def test_an_external_service_with_dependencies_is_reported_at_the_key(tmp_path: Path) -> None:
    outside = "- {name: z, externalAddr: {host: z.com, port: 80}}\n"

    finding = only(tmp_path, {"app.yaml": service(outside, more=calls("db")), "db.yaml": DB})

    assert lines((finding,)) == [
        'MC315 app.yaml:4:1: service "app" is outside the mesh and cannot have dependencies'
    ]


@pytest.mark.parametrize("texts", [{}, {"mesh.yaml": "name: shop\n"}])
def test_a_folder_without_services_is_refused(tmp_path: Path, texts: dict[str, str]) -> None:
    finding = only(tmp_path, texts)

    assert lines((finding,)) == ["MC316: no service is described here"]
    assert finding.hint == (
        "add a file such as app.yaml, or make a first mesh with: meshc init DIR"
    )


def test_a_folder_whose_only_service_is_broken_says_what_is_broken_and_no_more(
    tmp_path: Path,
) -> None:
    assert only(tmp_path, {"app.yaml": "protocol: HTPP\n"}).code == "MC204"


def test_mistakes_of_several_documents_are_reported_together(tmp_path: Path) -> None:
    texts = {
        "a.yaml": service(host("a1"), more=calls("b", "nope")),
        "b.yaml": service(host("a1", port=81), more=calls("b")),
        "c.yaml": "protocol: HTTP\nhosts: 5\n",
    }

    _, found = linked(tmp_path, texts)

    assert [(finding.code, str(finding.span)) for finding in found] == [
        ("MC306", "a.yaml:9:9"),
        ("MC317", "b.yaml:5:18"),
        ("MC307", "b.yaml:7:9"),
        ("MC313", "b.yaml:8:15"),
        ("MC203", "c.yaml:2:8"),
    ]


def test_a_host_that_only_a_broken_schema_lets_through_is_a_mistake_of_ours(
    tmp_path: Path,
) -> None:
    origin = service_of(good(tmp_path, {"app.yaml": APP}), "app").origin
    hollow = HostSpec.model_construct(name="app1", ingress_addr=None, external_addr=None)

    with pytest.raises(AssertionError):
        _instance(ServiceName("app"), hollow, origin)
    with pytest.raises(AssertionError):
        _external(hollow, origin)
