"""The manifest: what is written is read back, and nothing else is believed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from meshc.artifact.manifest import Manifest, file_digest, render_manifest
from meshc.diagnostics.errors import BundleError, UnknownNameError
from tests.artifact.bundles import HEADER, NEW, OLD

SERVICES = {"b": '{"eds.json":"22"}', "a": '{"eds.json":"11"}'}
NODES = {
    "n": '{"bootstrap.json":"1","cds.json":"2","lds.json":"3","uses":{"a":["eds.json"]}}',
}
ORIGINS = {
    "a": '{"at":"1:1","file":"a.yaml","hosts":{"n":"3:3"},"dependencies":{"b":"7:3"}}',
}


def rendered() -> bytes:
    return render_manifest(HEADER, services=SERVICES, nodes=NODES, origins=ORIGINS)


def test_the_whole_text_is_as_documented() -> None:
    content = (
        "test\n60s\n"
        '{\n"a": {"eds.json":"11"},\n"b": {"eds.json":"22"}\n}\n'
        '{\n"n": {"bootstrap.json":"1","cds.json":"2","lds.json":"3","uses":{"a":["eds.json"]}}\n}'
    )
    generation = hashlib.sha256(content.encode()).hexdigest()

    assert rendered().decode() == (
        "{\n"
        '"format": 1,\n"meshc": "0",\n"envoy": "1.40.0",\n"mesh": "test",\n'
        f'"drain_time": "60s",\n"generation": "{generation}",\n'
        '"services": {\n"a": {"eds.json":"11"},\n"b": {"eds.json":"22"}\n},\n'
        '"nodes": {\n"n": {"bootstrap.json":"1","cds.json":"2","lds.json":"3",'
        '"uses":{"a":["eds.json"]}}\n},\n'
        '"origins": {\n"a": {"at":"1:1","file":"a.yaml","hosts":{"n":"3:3"},'
        '"dependencies":{"b":"7:3"}}\n}\n'
        "}\n"
    )


def test_an_empty_mesh_has_a_manifest() -> None:
    manifest = Manifest.parse(render_manifest(HEADER, services={}, nodes={}, origins={}))

    assert (manifest.nodes, list(manifest.files())) == ((), [])


def test_the_order_of_names_given_does_not_matter() -> None:
    backwards = dict(reversed(SERVICES.items()))

    again = render_manifest(HEADER, services=backwards, nodes=NODES, origins=ORIGINS)

    assert again == rendered()


def test_the_generation_changes_with_files_and_not_with_places_in_specs() -> None:
    moved = {"a": ORIGINS["a"].replace("3:3", "4:3")}
    elsewhere = render_manifest(HEADER, services=SERVICES, nodes=NODES, origins=moved)
    changed = {**SERVICES, "a": '{"eds.json":"12"}'}
    other = render_manifest(HEADER, services=changed, nodes=NODES, origins=ORIGINS)
    drained = render_manifest(
        replace(HEADER, drain_time="5s"), services=SERVICES, nodes=NODES, origins=ORIGINS
    )

    generation = Manifest.parse(rendered()).generation
    assert Manifest.parse(elsewhere).generation == generation
    assert Manifest.parse(other).generation != generation
    assert Manifest.parse(drained).generation != generation


def test_files_of_a_node_are_named_as_on_its_host() -> None:
    assert Manifest.parse(rendered()).node_files("n") == {
        "bootstrap.json": ("nodes/n/bootstrap.json", "1"),
        "cds.json": ("nodes/n/cds.json", "2"),
        "lds.json": ("nodes/n/lds.json", "3"),
        "services/a/eds.json": ("services/a/eds.json", "11"),
    }


def test_all_files_are_listed_with_their_digests() -> None:
    expected = {path: file_digest(data) for path, data in NEW.files.items()}

    assert dict(Manifest.parse(NEW.manifest).files()) == expected


def test_digests_are_those_of_sha256sum() -> None:
    assert file_digest(b"abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_places_in_the_specs_are_found_by_resource_name() -> None:
    manifest = Manifest.parse(rendered())

    assert manifest.origin("n", "inbound/a") == "a.yaml:3:3"
    assert manifest.origin("other", "inbound/a") == "a.yaml:1:1"
    assert manifest.origin("n", "outbound/b@a") == "a.yaml:7:3"
    assert manifest.origin("n", "b@a") == "a.yaml:7:3"  # endpoints of one caller
    assert manifest.origin("n", "outbound/a") == "a.yaml:1:1"
    assert manifest.origin("n", "a") == "a.yaml:1:1"
    assert manifest.origin("n", "outbound/unknown") is None


def test_an_unknown_node_is_answered_with_a_near_one() -> None:
    with pytest.raises(UnknownNameError, match='no node "com"') as raised:
        Manifest.parse(NEW.manifest).node_files("com")

    assert raised.value.hint == 'did you mean "come"?'


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        OLD.manifest[:-3],
        OLD.manifest.replace(b'"nodes": {', b'"knots": {'),
        OLD.manifest.replace(b'"format": 1', b'"format": 2'),
    ],
    ids=["empty", "bare", "list", "null", "bytes", "deep", "cut", "parts", "format"],
)
def test_a_damaged_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(BundleError, match="manifest"):
        Manifest.parse(text)


@pytest.mark.parametrize(
    "entry", [{}, {"bootstrap.json": "1"}, [], {**json.loads(NODES["n"]), "uses": {"z": ["q"]}}]
)
def test_a_manifest_that_contradicts_itself_is_refused(entry: object) -> None:
    text = render_manifest(
        HEADER, services=SERVICES, nodes={"n": json.dumps(entry)}, origins=ORIGINS
    )

    with pytest.raises(BundleError, match='contradicts itself about node "n"'):
        Manifest.parse(text).node_files("n")
