"""Clients that ask for a node that is unknown or not theirs: refused, counted, told of once."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from meshc.delivery.log import Log
from meshc.delivery.xds.process.reporting import Reporter
from meshc.delivery.xds.process.status import overview
from meshc.delivery.xds.protocol.types import CLUSTER
from meshc.delivery.xds.transport import strangers
from meshc.delivery.xds.transport.addresses import address
from meshc.delivery.xds.transport.strangers import Strangers
from meshc.delivery.xds.transport.tls import TlsFiles
from tests.consul.authority import Authority
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.served import Caller, caller, free_port, served

if TYPE_CHECKING:
    from pathlib import Path

_HOSTILE = 'no"\n\x1b[2J event=serving ' + "x" * 400


async def _refused(client: Caller, node: str) -> tuple[grpc.StatusCode, str]:
    call = client.stream(node)
    await call.ask(CLUSTER)
    return await call.status()


def _denied(said: io.StringIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    return [line for line in lines if line["event"] == "denied"]


@pytest.mark.conforms("unknown-node")
def test_an_unknown_node_is_logged_once_whatever_it_is_called(tmp_path: Path) -> None:
    said = io.StringIO()

    async def scene() -> None:
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            reporter = Reporter(server.serving, Log(said, is_json=True))
            for _ in range(3):
                for node in ("front2", _HOSTILE):
                    code, details = await _refused(client, node)
                    assert code is grpc.StatusCode.NOT_FOUND
                    assert details.startswith(f'there is no node "{node[:10]}')
                    assert len(details) <= 200
                reporter.look()
            assert overview(server.serving)["denied"] == 6

    asyncio.run(scene())

    first, second = _denied(said)
    assert (first["node"], first["reason"]) == ("front2", 'there is no node "front2"')
    assert first["address"].startswith("127.0.0.1:")
    assert second["node"] == _HOSTILE[:200]


def test_a_name_that_would_forge_a_line_stays_in_its_own(tmp_path: Path) -> None:
    said = io.StringIO()

    async def scene() -> None:
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            await _refused(client, _HOSTILE)
            Reporter(server.serving, Log(said)).look()

    asyncio.run(scene())

    (line,) = said.getvalue().splitlines()
    assert " event=denied " in line
    assert "\x1b" not in line


@pytest.mark.conforms("unknown-node")
def test_who_polls_for_an_unknown_node_is_told_of_too(tmp_path: Path) -> None:
    port, said = free_port(), io.StringIO()

    async def scene() -> None:
        rest = address(f"127.0.0.1:{port}")
        async with served(make_bundle(tmp_path), rest=rest) as server:
            body = b'{"node": {"id": "front2"}}'
            head = f"POST /v3/discovery:clusters HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n"
            for _ in range(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(head.encode() + body)
                assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
                writer.close()
                await writer.wait_closed()
            Reporter(server.serving, Log(said, is_json=True)).look()

    asyncio.run(scene())

    assert [one["node"] for one in _denied(said)] == ["front2"]


@pytest.mark.conforms("unknown-node")
def test_a_certificate_of_another_node_is_told_of(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "all", "all")
    own, node = authority.issue("server", "IP:127.0.0.1"), authority.issue("node", "DNS:app1")
    files = TlsFiles(certificate=own.file, key=own.key, client_ca=authority.file)
    credentials = grpc.ssl_channel_credentials(
        authority.file.read_bytes(), node.key.read_bytes(), node.file.read_bytes()
    )
    said = io.StringIO()

    async def scene() -> None:
        async with (
            served(make_bundle(tmp_path), tls=files) as server,
            caller(server.port, credentials) as client,
        ):
            code, _ = await _refused(client, "front1")
            assert code is grpc.StatusCode.PERMISSION_DENIED
            Reporter(server.serving, Log(said, is_json=True)).look()

    asyncio.run(scene())

    (one,) = _denied(said)
    assert one["node"] == "front1"
    assert one["reason"] == 'the certificate is not that of node "front1"'


def test_names_made_up_by_the_million_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "_MOST_REMEMBERED", 100)
    all_of = Strangers()
    told = 0
    for number in range(5000):
        all_of.add(f"n{number}", ("127.0.0.1", 1), "unknown")
        if number % 50 == 49:
            told += len(all_of.news())

    assert all_of.refusals == 5000
    assert told == 100 * 20
    assert len(all_of._remembered) == 100
    assert all_of.news() == []
