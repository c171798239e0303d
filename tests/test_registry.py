"""Schema, registry, folders, tests and README name the same slices; a failure names the file."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

import meshc
from meshc.registry import POLICIES, PROTOCOLS, compile_context
from meshc.spec.policies import POLICY_SPECS, PoliciesSpec
from meshc.spec.schema import (
    PROTOCOL_SPECS,
    AppProtocol,
    DependencySpec,
    MeshSpec,
    ServiceSpec,
)

PACKAGE = Path(meshc.__file__).parent
ROOT = PACKAGE.parent
PROTOCOL_FOLDERS = {"HTTP": "http", "HTTP2": "http2", "GRPC": "grpc", "TCP": "tcp"}
POLICY_FOLDERS = {
    key: spec.model.__module__.removeprefix("meshc.policies.").removesuffix(".spec")
    for key, spec in POLICY_SPECS.items()
}
SLICES = [("protocols", name) for name in PROTOCOL_FOLDERS.values()]
SLICES += [("policies", name) for name in POLICY_FOLDERS.values()]


def folders(kind: str) -> set[str]:
    return {path.parent.name for path in (PACKAGE / kind).glob("*/__init__.py")}


def test_every_protocol_folder_is_in_schema_and_registry() -> None:
    assert folders("protocols") == set(PROTOCOL_FOLDERS.values()), "meshc/protocols/"
    assert list(PROTOCOL_SPECS) == list(PROTOCOL_FOLDERS), "meshc/spec/schema.py: PROTOCOL_SPECS"
    assert typing.get_args(AppProtocol) == tuple(PROTOCOL_FOLDERS), (
        "meshc/spec/schema.py: AppProtocol"
    )
    assert [one.spec.keyword for one in PROTOCOLS] == list(PROTOCOL_FOLDERS), "meshc/registry.py"


def test_every_policy_folder_is_in_schema_and_registry() -> None:
    assert folders("policies") == set(POLICY_FOLDERS.values()), "meshc/policies/"
    assert list(POLICY_SPECS) == list(POLICY_FOLDERS), "meshc/spec/policies.py"
    keys = [info.alias or name for name, info in PoliciesSpec.model_fields.items()]
    assert keys == list(POLICY_FOLDERS), "meshc/spec/policies.py"
    assert [one.spec.key for one in POLICIES] == list(POLICY_FOLDERS), "meshc/registry.py"


@pytest.mark.parametrize(("kind", "name"), SLICES)
def test_a_slice_has_both_halves_and_tests_and_is_in_the_readme(kind: str, name: str) -> None:
    for half in ("spec.py", "envoy.py"):
        assert (PACKAGE / kind / name / half).is_file(), f"meshc/{kind}/{name}/{half}"
    assert list((ROOT / "tests" / kind / name).glob("test_*.py")), f"tests/{kind}/{name}/"
    assert f"](meshc/{kind}/{name})" in (ROOT / "README.md").read_text(), "README.md"


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.spec.key)
def test_every_field_of_a_policy_says_which_messages_it_changes(policy: typing.Any) -> None:
    assert set(policy.spec.scopes) == set(policy.spec.model.model_fields)
    assert set(policy.spec.field_needs) <= set(policy.spec.model.model_fields)
    assert set().union(*policy.spec.scopes.values()) == set(policy.edits)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.spec.key)
def test_every_field_of_a_policy_may_be_left_out(policy: typing.Any) -> None:
    assert policy.spec.model() is not None


def test_the_compiler_finds_every_slice_under_its_keyword() -> None:
    context = compile_context(MeshSpec())
    assert list(context.protocols) == list(PROTOCOL_FOLDERS)
    assert list(context.policies) == list(POLICY_FOLDERS)


def test_no_key_of_a_document_is_also_a_tag_of_a_union() -> None:
    # A validator's location contains tags; one that equals a key would point at the wrong place.
    keys = {
        info.alias or name
        for model in (ServiceSpec, DependencySpec, MeshSpec)
        for name, info in model.model_fields.items()
    }
    tags = {"int", "float", "literal['ingress']", "function-after[_directory(), str]"}
    assert keys.isdisjoint(tags)
