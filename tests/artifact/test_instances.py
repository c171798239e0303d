"""Facts about instances: what a build writes is read back, and nothing else is believed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshc.artifact.instances import InstanceFacts, facts_from_json, parse_instances
from meshc.artifact.manifest import Manifest, file_digest
from meshc.diagnostics.errors import BundleError
from meshc.pipeline import BuildOptions, build

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """
protocol: HTTP
labels: {tier: backend}
hosts:
- name: app2
  ingressAddr: {host: "fd00::2", port: 8000}
  substanceAddr: {host: "::1", port: 9000}
- name: app1
  ingressAddr: {host: 10.0.0.1, port: 8000}
  substanceAddr: {host: 127.0.0.1, port: 9000}
  adminAddr: {host: 127.0.0.1, port: 9909}
  locality: {region: east, zone: east-1}
  labels: {rack: "r\\n1"}
  weight: 3
"""
OUTSIDE = """
protocol: TCP
hosts:
- name: db
  externalAddr: {host: db.example.org, port: 5432}
"""
SETTINGS = "name: shop\nlabels: {env: test}\nadmin: {host: ingress, port: 9901}\n"

APP1 = InstanceFacts(
    service="app",
    protocol="HTTP",
    service_labels={"tier": "backend"},
    node="app1",
    address="10.0.0.1",
    port=8000,
    admin_address="127.0.0.1",
    admin_port=9909,
    region="east",
    zone="east-1",
    labels={"env": "test", "rack": "r\n1"},
    weight=3,
)
APP2 = InstanceFacts(
    service="app",
    protocol="HTTP",
    service_labels={"tier": "backend"},
    node="app2",
    address="fd00::2",
    port=8000,
    admin_address="fd00::2",
    admin_port=9901,
    region="",
    zone="",
    labels={"env": "test"},
    weight=1,
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    specs = tmp_path / "specs"
    specs.mkdir()
    for name, text in (("app", SPEC), ("db", OUTSIDE), ("mesh", SETTINGS)):
        (specs / f"{name}.yaml").write_text(text)
    assert not build(specs, BuildOptions(out=tmp_path / "out")).has_errors
    return tmp_path / "out"


def test_a_build_tells_of_every_instance_in_the_order_of_names(out: Path) -> None:
    text = (out / "services" / "app" / "instances.json").read_bytes()

    assert parse_instances(text, "app") == (APP1, APP2)


def test_the_manifest_names_the_facts_and_what_runs_where(out: Path) -> None:
    manifest = Manifest.parse((out / "manifest.json").read_bytes())
    path = "services/app/instances.json"

    assert manifest.instances_file("app") == (path, file_digest((out / path).read_bytes()))
    assert manifest.runs("app1") == ("app",)


def test_hosts_outside_the_mesh_have_no_facts(out: Path) -> None:
    manifest = Manifest.parse((out / "manifest.json").read_bytes())

    assert manifest.instances_file("db") is None
    assert not (out / "services" / "db" / "instances.json").exists()


def test_facts_are_not_delivered_to_hosts(out: Path) -> None:
    manifest = Manifest.parse((out / "manifest.json").read_bytes())

    assert not [path for path in manifest.node_files("app1") if "instances" in path]


@pytest.mark.parametrize("facts", [APP1, APP2])
def test_facts_of_one_instance_are_read_back(facts: InstanceFacts) -> None:
    assert facts_from_json(json.loads(json.dumps(facts.to_json()))) == facts


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("node", "../other"),
        ("node", ""),
        ("service", "a/b"),
        ("address", "example.org"),
        ("address", 1),
        ("port", 0),
        ("port", 65_536),
        ("port", "80"),
        ("port", True),
        ("admin", {"address": "127.0.0.1"}),
        ("admin", ["127.0.0.1", 9901]),
        ("locality", {"region": "a b"}),
        ("labels", {"rack": 1}),
        ("labels", ["rack"]),
        ("weight", 0),
        ("protocol", None),
    ],
)
def test_facts_that_break_a_rule_are_refused(key: str, value: object) -> None:
    with pytest.raises(BundleError, match="are damaged"):
        facts_from_json({**APP1.to_json(), key: value})


@pytest.mark.parametrize("key", sorted(APP1.to_json()))
def test_facts_that_are_missing_are_refused(key: str) -> None:
    with pytest.raises(BundleError, match="are damaged"):
        facts_from_json({name: value for name, value in APP1.to_json().items() if name != key})


def stored(**changes: Any) -> bytes:
    entry = APP1.to_json()
    shared = {"service": entry.pop("service"), "protocol": entry.pop("protocol")}
    content = {**shared, "labels": entry.pop("service_labels"), "instances": [entry], **changes}
    return json.dumps(content).encode()


def test_an_unchanged_file_is_read() -> None:
    assert parse_instances(stored(), "app") == (APP1,)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        stored(instances={}) + b"x",
        stored(instances=[1]),
        stored(service="other"),
        stored(instances=[APP1.to_json(), APP1.to_json()]),
    ],
)
def test_a_damaged_file_is_refused(text: bytes) -> None:
    with pytest.raises(BundleError, match='of service "app" are damaged'):
        parse_instances(text, "app")
