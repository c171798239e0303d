"""What is built fits the schema of every published Envoy from 1.36 on, field by field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.bootstrap import Credentials, Subscribing, grpc_bootstrap
from meshc.proto.extract import extract_descriptors
from meshc.proto.schema import unpack_schema
from tests.case import CASES, all_cases
from tests.envoy.checks import resources_in
from tests.envoy.versions import VERSIONS, envoy_or_skip

if TYPE_CHECKING:
    from meshc.proto import EnvoySchema

pytestmark = pytest.mark.envoy

_BOOTSTRAP = "type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap"
_CREDENTIALS = Credentials(certificate="/node.pem", key="/node.key", ca="/ca.pem")
_LEAST = 200
"""Resources in all cases, so that nothing wrong does not mean nothing there."""


@pytest.fixture(scope="module", params=VERSIONS)
def schema(request: pytest.FixtureRequest) -> EnvoySchema:
    version: str = request.param
    return unpack_schema(version, extract_descriptors(envoy_or_skip(version)))


def test_every_resource_of_every_case_is_right(schema: EnvoySchema) -> None:
    count = 0
    for case in all_cases(about_mistakes=False):
        for _, resource in resources_in(CASES / case.name / "out"):
            body = {key: value for key, value in resource.items() if key != "@type"}
            assert schema.check(resource["@type"], body) == (), (case.name, resource)
            count += 1
    assert count > _LEAST


@pytest.mark.parametrize("subscribing", Subscribing)
def test_every_bootstrap_is_right(schema: EnvoySchema, subscribing: Subscribing) -> None:
    bootstraps = sorted(CASES.rglob("bootstrap.json"))
    assert bootstraps
    for path in bootstraps:
        of_files = json.loads(path.read_text())
        assert schema.check(_BOOTSTRAP, of_files) == (), path
        served = grpc_bootstrap(
            of_files,
            [("mesh.example", 18000), ("10.0.0.5", 18000)],
            subscribing=subscribing,
            credentials=_CREDENTIALS,
        )
        assert schema.check(_BOOTSTRAP, served) == (), path


def test_a_field_that_only_a_newer_envoy_knows_would_be_found() -> None:
    oldest, newest = (
        unpack_schema(version, extract_descriptors(envoy_or_skip(version)))
        for version in (VERSIONS[0], VERSIONS[-1])
    )
    kind = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    cluster = {"name": "a", "connect_timeout": "1s", "stats_matcher": {"reject_all": True}}

    assert newest.check(kind, cluster) == ()
    (found,) = oldest.check(kind, cluster)

    assert (found.path, found.message) == ("stats_matcher", "is not a field of this message")
