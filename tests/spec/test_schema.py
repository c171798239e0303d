"""Defaults, written out, and what the schema promises about itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import pytest
from pydantic import BaseModel

from meshc.policies.circuit_breakers.spec import CircuitBreakersSpec
from meshc.policies.health_checks.spec import HealthChecksSpec
from meshc.policies.inbound.spec import InboundSpec
from meshc.policies.load_balancing.spec import LoadBalancingSpec
from meshc.policies.outlier_detection.spec import OutlierDetectionSpec
from meshc.policies.retries.spec import RetriesSpec
from meshc.policies.timeouts.spec import TimeoutsSpec
from meshc.spec.fields import Duration
from meshc.spec.policies import POLICY_SPECS, PoliciesSpec
from meshc.spec.schema import (
    PROTOCOL_SPECS,
    AppProtocol,
    DependencySpec,
    HostSpec,
    MeshSpec,
    ServiceSpec,
    TracingSpec,
)
from meshc.spec.sizes import Size

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = {"protocol": "HTTP"}


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that a model consists of, itself first."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for info in annotation.model_fields.values():
            yield from models(info.annotation)
    for argument in get_args(annotation):
        yield from models(argument)


ALL_MODELS = list(dict.fromkeys([*models(ServiceSpec), *models(MeshSpec)]))


def test_the_mesh_has_these_defaults() -> None:
    mesh = MeshSpec()

    assert json.loads(mesh.model_dump_json(by_alias=True)) == {
        "$schema": None,
        "name": "mesh",
        "labels": {},
        "admin": {"host": "127.0.0.1", "port": 9901},
        "accessLog": {"enabled": True, "directory": "/var/log/envoy"},
        "connectTimeout": "1s",
        "drainTime": "60s",
        "tracing": None,
        "xdsDirectory": "/var/lib/meshc/envoy",
        "routes": "file",
        "endpoints": "file",
        "limits": {"fileSubscriptions": 100},
        "defaults": {
            "timeouts": None,
            "retries": None,
            "circuitBreakers": None,
            "loadBalancing": None,
            "outlierDetection": None,
            "healthChecks": None,
            "inbound": None,
        },
    }


def test_a_service_has_these_defaults() -> None:
    service = ServiceSpec.model_validate(SERVICE)

    assert service.name is None
    assert service.labels == {}
    assert service.hosts == ()
    assert service.dependent_services == ()
    assert service.model_fields_set == {"protocol"}


def test_a_host_has_these_defaults() -> None:
    host = HostSpec.model_validate(
        {
            "name": "app1",
            "ingressAddr": {"host": "10.0.0.1", "port": 80},
            "substanceAddr": {"host": "127.0.0.1", "port": 9000},
        }
    )

    assert host.egress_host == "127.0.0.1"
    assert (host.weight, host.labels, host.locality) == (1, {}, None)
    assert (host.admin_addr, host.external_addr) == (None, None)


def test_a_dependency_has_these_defaults() -> None:
    dependency = DependencySpec.model_validate({"name": "app", "egressPort": 9001})

    assert dependency.protocol is None
    assert dependency.model_fields_set == {"name", "egress_port"}


def test_collectors_have_these_defaults() -> None:
    zipkin = TracingSpec.model_validate({"zipkin": {"host": "z"}})
    open_telemetry = TracingSpec.model_validate({"openTelemetry": {"host": "o"}})

    assert zipkin.sampling == 100
    assert zipkin.zipkin is not None
    assert (zipkin.zipkin.port, zipkin.zipkin.path) == (9411, "/api/v2/spans")
    assert open_telemetry.open_telemetry is not None
    assert open_telemetry.open_telemetry.port == 4317


def test_the_article_s_document_is_taken_as_it_is() -> None:
    front = ServiceSpec.model_validate(
        {
            "protocol": "HTTP",
            "hosts": [
                {
                    "name": "front1",
                    "ingressAddr": {"host": "192.168.34.70", "port": 80},
                    "substanceAddr": {"host": "127.0.0.1", "port": 8080},
                    "egressHost": "127.0.0.1",
                }
            ],
            "dependentServices": [{"name": "app", "egressPort": 9001}],
        }
    )

    assert front.hosts[0].name == "front1"
    assert front.dependent_services[0].egress_port == 9001


def test_the_protocols_are_these() -> None:
    assert get_args(AppProtocol) == ("HTTP", "HTTP2", "GRPC", "TCP")
    assert tuple(PROTOCOL_SPECS) == ("HTTP", "HTTP2", "GRPC", "TCP")
    assert [spec.has_requests for spec in PROTOCOL_SPECS.values()] == [True, True, True, False]


def test_the_policies_are_these_in_this_order() -> None:
    keys = [info.alias or name for name, info in PoliciesSpec.model_fields.items()]

    assert keys == [
        "timeouts",
        "retries",
        "circuitBreakers",
        "loadBalancing",
        "outlierDetection",
        "healthChecks",
        "inbound",
    ]
    assert list(POLICY_SPECS) == keys


def test_policies_have_these_defaults() -> None:
    assert {key: spec.defaults for key, spec in POLICY_SPECS.items()} == {
        "timeouts": TimeoutsSpec(
            request=Duration(15_000), idle=POLICY_DEFAULT_IDLE, web_socket=Duration(3_600_000)
        ),
        "retries": RetriesSpec(
            on=("connect-failure", "refused-stream", "reset-before-request"),
            on_idempotent=("reset",),
            body_buffer=Size(16_777_216),
        ),
        "circuitBreakers": CircuitBreakersSpec(max_connections=1_024, max_requests=1_024),
        "loadBalancing": LoadBalancingSpec(policy="roundRobin"),
        "outlierDetection": OutlierDetectionSpec(
            enabled=True,
            consecutive_failures=2,
            max_ejected_percent=50,
        ),
        "healthChecks": HealthChecksSpec(),
        "inbound": InboundSpec(
            max_connections="none",
            max_pending_requests="none",
            max_requests="none",
            idle=Duration(1_000),
        ),
    }


POLICY_DEFAULT_IDLE = Duration(300_000)


@pytest.mark.parametrize("key", list(POLICY_SPECS))
def test_a_policy_says_for_each_of_its_fields_what_it_changes(key: str) -> None:
    spec = POLICY_SPECS[key]

    assert set(spec.scopes) == set(spec.model.model_fields)
    assert set(spec.field_needs) <= set(spec.model.model_fields)
    assert all(spec.scopes.values())


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: str(model.__name__))
def test_every_part_of_a_document_is_immutable_closed_and_described(model: type[BaseModel]) -> None:
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("extra") == "forbid"
    assert model.__doc__
    assert [name for name, info in model.model_fields.items() if not info.description] == []


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: str(model.__name__))
def test_no_field_is_named_as_the_tag_of_a_union(model: type[BaseModel]) -> None:
    """Or the walk from an error's location to a place in the text takes a wrong turn."""
    names = {info.alias or name for name, info in model.model_fields.items()}
    tags = {member.__name__ for member in ALL_MODELS} | {"str", "int", "float", "bool"}

    assert names & tags == set()


@pytest.mark.parametrize("model", [ServiceSpec, MeshSpec])
def test_the_published_schema_refuses_unknown_keys_everywhere(model: type[BaseModel]) -> None:
    schema = model.model_json_schema(by_alias=True)
    objects = [part for part in (schema, *schema["$defs"].values()) if "properties" in part]

    assert all(part["additionalProperties"] is False for part in objects)
    assert all("_" not in key for part in objects for key in part["properties"])


@pytest.mark.parametrize("directory", ["/", ".", "..", "./a b", "/var/lib/x", "x" * 1_024])
def test_a_directory_is_any_path_without_a_slash_at_its_end(directory: str) -> None:
    mesh = MeshSpec.model_validate(
        {"xdsDirectory": directory, "accessLog": {"directory": directory}}
    )

    assert (mesh.xds_directory, mesh.access_log.directory) == (directory, directory)
