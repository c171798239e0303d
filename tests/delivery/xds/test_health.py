"""The health service and CSDS, read with other people's messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1.health_pb2 import (  # type: ignore[import-untyped]
    HealthCheckRequest,
    HealthCheckResponse,
)

from meshc.delivery.xds.protocol.types import CLUSTER, ENDPOINT
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import caller, served

if TYPE_CHECKING:
    from pathlib import Path

_HEALTH = "/grpc.health.v1.Health/Check"
_SYNTAX, _OPTIONAL, _REPEATED, _TEXT, _NUMBER, _MESSAGE = "proto3", 1, 3, 9, 5, 11
_CSDS = "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus"


def _client_status() -> Any:
    """The part of csds.proto that the test reads, written down from Envoy's documentation."""
    file = FileDescriptorProto(name="csds_part.proto", package="part", syntax=_SYNTAX)
    for name, fields in {
        "Node": [("id", 1, _OPTIONAL, _TEXT, "")],
        "Failure": [
            ("details", 3, _OPTIONAL, _TEXT, ""),
            ("version_info", 4, _OPTIONAL, _TEXT, ""),
        ],
        "Config": [
            ("type_url", 1, _OPTIONAL, _TEXT, ""),
            ("name", 2, _OPTIONAL, _TEXT, ""),
            ("version_info", 3, _OPTIONAL, _TEXT, ""),
            ("config_status", 6, _OPTIONAL, _NUMBER, ""),
            ("client_status", 7, _OPTIONAL, _NUMBER, ""),
            ("error_state", 8, _OPTIONAL, _MESSAGE, ".part.Failure"),
        ],
        "Client": [
            ("node", 1, _OPTIONAL, _MESSAGE, ".part.Node"),
            ("generic_xds_configs", 3, _REPEATED, _MESSAGE, ".part.Config"),
        ],
        "Response": [("config", 1, _REPEATED, _MESSAGE, ".part.Client")],
    }.items():
        message = file.message_type.add(name=name)
        for field, number, label, kind, of in fields:
            added = message.field.add(name=field, number=number, label=label, type=kind)
            if of:
                added.type_name = of
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("part.Response"))


async def _unary(channel: Any, path: str, request: Any, kind: Any) -> Any:
    call = channel.unary_unary(
        path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=kind.FromString,
    )
    return await call(request, timeout=10)


def test_the_server_says_that_it_serves(tmp_path: Path) -> None:
    async def run() -> HealthCheckResponse:
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            return await _unary(client.channel, _HEALTH, HealthCheckRequest(), HealthCheckResponse)

    assert asyncio.run(run()).status == HealthCheckResponse.SERVING


def test_the_server_says_that_it_does_not_serve_while_nothing_is_loaded(tmp_path: Path) -> None:
    async def run() -> HealthCheckResponse:
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            server.serving.hub.bundles = None
            return await _unary(client.channel, _HEALTH, HealthCheckRequest(), HealthCheckResponse)

    assert asyncio.run(run()).status == HealthCheckResponse.NOT_SERVING


@pytest.mark.conforms("K3")
def test_nobody_is_told_anything_before_a_bundle_is_loaded(tmp_path: Path) -> None:
    async def run() -> tuple[grpc.StatusCode, str]:
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            server.serving.hub.bundles = None
            call = client.stream("front1")
            await call.ask(CLUSTER)
            return await call.status()

    assert asyncio.run(run()) == (grpc.StatusCode.UNAVAILABLE, "no bundle is loaded yet")


def test_the_health_of_an_unknown_service_is_not_found(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            request = HealthCheckRequest(service="other")
            await _unary(client.channel, _HEALTH, request, HealthCheckResponse)

    with pytest.raises(grpc.aio.AioRpcError) as error:
        asyncio.run(run())
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


def test_csds_tells_what_a_node_accepted_and_what_it_refused(tmp_path: Path) -> None:
    async def run() -> Any:
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            call = client.stream("front1")
            await call.ask(CLUSTER)
            clusters = await call.answer()
            await call.acknowledge(clusters)
            await call.ask(ENDPOINT, resource_names=["app"])
            endpoints = await call.answer()
            await call.ask(
                ENDPOINT,
                resource_names=["app"],
                response_nonce=endpoints.nonce,
                error="outbound/app: no such locality",
            )
            await call.has_silence()
            messages = _client_status()
            found = await _unary(client.channel, _CSDS, messages(), messages)
            call.cancel()
            return found

    (config,) = asyncio.run(run()).config
    by_name = {(one.type_url, one.name): one for one in config.generic_xds_configs}
    accepted = by_name[CLUSTER, "outbound/app"]
    refused = by_name[ENDPOINT, "app"]
    assert config.node.id == "front1"
    assert accepted.client_status == 3  # ACKED
    assert refused.client_status == 4  # NACKED
    assert refused.error_state.details == "outbound/app: no such locality (app.yaml:2:1)"
