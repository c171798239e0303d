"""Who may ask for what: certificates over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from meshc.delivery.xds.protocol.types import CLUSTER
from meshc.delivery.xds.settings import ServeSettings
from meshc.delivery.xds.transport.addresses import address
from meshc.delivery.xds.transport.identity import CertificateGate
from meshc.delivery.xds.transport.limits import Limits
from meshc.delivery.xds.transport.tls import TlsFiles
from meshc.diagnostics.errors import SettingsError
from tests.consul.authority import Authority, Certificate
from tests.delivery.xds.meshes import make_bundle
from tests.delivery.xds.raw import HALF_HELLO, raw
from tests.delivery.xds.served import Server, caller, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.delivery.xds.served import Call

_NODES = ("front1", "app1", "store1")
_CUT_S = 10
Answer = grpc.StatusCode | None


@dataclass
class _World:
    """Authorities, certificates, and the files that the server reads."""

    folder: Path
    bundle: Path
    nodes_ca: Authority
    server_ca: Authority

    @classmethod
    def make(cls, folder: Path) -> _World:
        world = cls(
            folder,
            make_bundle(folder / "mesh"),
            Authority(folder / "nodes", "nodes"),
            Authority(folder / "servers", "servers"),
        )
        world.install(world.server_ca.issue("server", "IP:127.0.0.1"), world.nodes_ca)
        (folder / "withdrawn.txt").write_text("# nobody\n")
        return world

    def install(self, server: Certificate, clients: Authority) -> None:
        """Put certificates where the server reads them."""
        for source, name in (
            (server.key, "live.key"),
            (server.file, "live.pem"),
            (clients.file, "ca.pem"),
        ):
            shutil.copy(source, self.folder / f"{name}.new")
            (self.folder / f"{name}.new").rename(self.folder / name)

    @property
    def tls(self) -> TlsFiles:
        return TlsFiles(
            certificate=self.folder / "live.pem",
            key=self.folder / "live.key",
            client_ca=self.folder / "ca.pem",
        )

    @contextlib.asynccontextmanager
    async def server(self, limits: Limits | None = None) -> AsyncIterator[Server]:
        async with served(
            self.bundle, tls=self.tls, withdrawn=self.folder / "withdrawn.txt", limits=limits
        ) as server:
            yield server

    def credentials(self, client: Certificate | None, ca: Authority | None = None) -> Any:
        """Return what a client shows, and whom it believes."""
        return grpc.ssl_channel_credentials(
            root_certificates=(ca or self.server_ca).file.read_bytes(),
            private_key=client.key.read_bytes() if client else None,
            certificate_chain=client.file.read_bytes() if client else None,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> _World:
    return _World.make(tmp_path_factory.mktemp("world"))


async def _asked(port: int, node: str, credentials: Any) -> Answer:
    """Ask for a node's clusters; None: they came."""
    async with caller(port, credentials) as client:
        call = client.stream(node)
        try:
            await call.ask(CLUSTER)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return (await call.status())[0]
        return await _outcome(call)


async def _outcome(call: Call) -> Answer:
    try:
        await call.answer()
    except (grpc.aio.AioRpcError, AssertionError):
        return (await call.status())[0]
    call.cancel()
    return None


def test_every_node_gets_its_own_and_no_other(world: _World) -> None:
    certificates = {node: world.nodes_ca.issue(node, f"DNS:{node}") for node in _NODES}

    async def run() -> dict[tuple[str, str], Answer]:
        async with world.server() as server:
            return {
                (holder, node): await _asked(
                    server.port, node, world.credentials(certificates[holder])
                )
                for holder in _NODES
                for node in _NODES
            }

    found = asyncio.run(run())
    assert {pair for pair, answer in found.items() if answer is None} == {
        (node, node) for node in _NODES
    }
    assert set(found.values()) == {None, grpc.StatusCode.PERMISSION_DENIED}


@pytest.mark.parametrize(
    ("alternatives", "answer"),
    [
        (["URI:spiffe://mesh/front1"], None),
        (["URI:spiffe://other/front1"], grpc.StatusCode.PERMISSION_DENIED),
        (["DNS:*"], grpc.StatusCode.PERMISSION_DENIED),
        (["DNS:front"], grpc.StatusCode.PERMISSION_DENIED),
        (["DNS:front11"], grpc.StatusCode.PERMISSION_DENIED),
        (["DNS:x.invalid"], grpc.StatusCode.PERMISSION_DENIED),
        (["IP:127.0.0.1"], grpc.StatusCode.PERMISSION_DENIED),
        (["DNS:app1", "DNS:front1"], None),
    ],
)
def test_alternative_names_decide_and_the_common_name_does_not(
    world: _World, alternatives: list[str], answer: Answer
) -> None:
    certificate = world.nodes_ca.issue("front1", *alternatives)

    async def run() -> Answer:
        async with world.server() as server:
            return await _asked(server.port, "front1", world.credentials(certificate))

    assert asyncio.run(run()) is answer


def test_nobody_gets_in_without_a_certificate_or_with_one_of_another_authority(
    world: _World,
) -> None:
    foreign = Authority(world.folder / "foreign", "foreign").issue("front1", "DNS:front1")

    async def run() -> list[Answer]:
        async with world.server() as server:
            found = [
                await _asked(server.port, "front1", world.credentials(None)),
                await _asked(server.port, "front1", world.credentials(foreign)),
                await _asked(server.port, "front1", None),
            ]
            assert len(server.serving.hub) == 0
            return found

    assert asyncio.run(run()) == [grpc.StatusCode.UNAVAILABLE] * 3


def test_new_certificates_and_a_new_authority_count_without_a_restart(tmp_path: Path) -> None:
    world = _World.make(tmp_path)
    old = world.nodes_ca.issue("front1", "DNS:front1")
    newer_servers = Authority(tmp_path / "servers2", "servers2")
    newer_nodes = Authority(tmp_path / "nodes2", "nodes2")
    new = newer_nodes.issue("front1", "DNS:front1")

    async def run() -> None:
        async with (
            world.server() as server,
            caller(server.port, world.credentials(old)) as client,
        ):
            stays = client.stream("front1")
            await stays.ask(CLUSTER)
            await stays.acknowledge(await stays.answer())

            world.install(newer_servers.issue("server", "IP:127.0.0.1"), newer_nodes)

            credentials = world.credentials(new, newer_servers)
            for _ in range(_CUT_S * 5):
                if await _asked(server.port, "front1", credentials) is None:
                    break
                await asyncio.sleep(0.2)
            else:
                pytest.fail("the new certificates do not count")
            refused = await _asked(server.port, "front1", world.credentials(old, newer_servers))
            assert refused is grpc.StatusCode.UNAVAILABLE
            assert await stays.has_silence()
            stays.cancel()

    asyncio.run(run())


def test_certificates_that_cannot_be_used_leave_those_of_before(tmp_path: Path) -> None:
    world = _World.make(tmp_path)
    client = world.nodes_ca.issue("front1", "DNS:front1")

    async def run() -> None:
        async with world.server() as server:
            (tmp_path / "live.pem").write_text("nothing of the kind")
            for _ in range(_CUT_S * 5):
                if server.serving.facts.certificate_problem:
                    break
                await asyncio.sleep(0.2)
            assert "cannot use" in server.serving.facts.certificate_problem
            assert await _asked(server.port, "front1", world.credentials(client)) is None

    asyncio.run(run())


@pytest.mark.parametrize("by", ["name", "serial"])
def test_a_withdrawn_client_is_cut_and_stays_out(tmp_path: Path, by: str) -> None:
    world = _World.make(tmp_path)
    gone = world.nodes_ca.issue("front1", "DNS:front1")
    stays = world.nodes_ca.issue("app1", "DNS:app1")

    async def run() -> None:
        async with (
            world.server() as server,
            caller(server.port, world.credentials(gone)) as bad,
            caller(server.port, world.credentials(stays)) as good,
        ):
            cut, kept = bad.stream("front1"), good.stream("app1")
            for call in (cut, kept):
                await call.ask(CLUSTER)
                await call.acknowledge(await call.answer())
            entry = "front1" if by == "name" else gone.serial()
            (tmp_path / "withdrawn.txt").write_text(f"{entry}  # stolen\n")

            code, _ = await asyncio.wait_for(cut.status(), _CUT_S)

            assert code is not grpc.StatusCode.OK
            again = await _asked(server.port, "front1", world.credentials(gone))
            assert again is grpc.StatusCode.PERMISSION_DENIED
            assert await kept.has_silence()
            kept.cancel()

    asyncio.run(run())


def test_a_client_whose_certificate_comes_to_its_end_is_cut(world: _World) -> None:
    ends = time.time() + 4
    brief = world.nodes_ca.issue_until(ends, "brief", "DNS:front1")
    lasting = world.nodes_ca.issue("lasting", "DNS:app1")

    async def scene() -> tuple[Answer, float, bool, Answer]:
        async with (
            world.server() as server,
            caller(server.port, world.credentials(brief)) as short,
            caller(server.port, world.credentials(lasting)) as long,
        ):
            cut, kept = short.stream("front1"), long.stream("app1")
            for call in (cut, kept):
                await call.ask(CLUSTER)
                await call.acknowledge(await call.answer())
            code, _ = await asyncio.wait_for(cut.status(), ends - time.time() + _CUT_S)
            at = time.time()
            is_kept = await kept.has_silence()
            kept.cancel()
            return code, at, is_kept, await _asked(server.port, "front1", world.credentials(brief))

    code, at, is_kept, later = asyncio.run(scene())

    assert code is grpc.StatusCode.UNAVAILABLE
    assert ends <= at <= ends + _CUT_S
    assert is_kept
    assert later is grpc.StatusCode.UNAVAILABLE


def test_handshakes_that_do_not_end_are_cut_and_others_are_served(world: _World) -> None:
    client = world.nodes_ca.issue("patient", "DNS:front1")

    async def half(port: int, sent: bytes) -> bool:
        async with raw(port) as peer:
            await peer.send(sent)
            return await peer.is_ended()

    async def scene() -> tuple[list[bool], Answer]:
        async with world.server(Limits(handshake=1.0)) as server:
            halves = [
                asyncio.create_task(half(server.port, HALF_HELLO if number % 2 else b""))
                for number in range(200)
            ]
            await asyncio.sleep(0.2)
            answer = await _asked(server.port, "front1", world.credentials(client))
            return await asyncio.gather(*halves), answer

    ends, answer = asyncio.run(scene())

    assert all(ends)
    assert answer is None


def test_of_a_hundred_nodes_each_certificate_is_that_of_one() -> None:
    names = [f"node{number}" for number in range(1, 101)]
    gate = CertificateGate("shop")

    class Peer:
        def __init__(self, name: str) -> None:
            kind, text = ("DNS", name) if name.endswith("0") else ("URI", f"spiffe://shop/{name}")
            self._certificate = {"subjectAltName": ((kind, text),)}

        def cert(self) -> Mapping[str, object]:
            return self._certificate

    def is_let_in(peer: Peer, node: str) -> bool:
        try:
            gate.check(peer, node)
        except GRPCError as error:
            return error.status is not Status.PERMISSION_DENIED
        return True

    pairs = [(own, node) for own in names for node in names if is_let_in(Peer(own), node)]

    assert pairs == [(name, name) for name in names]


def test_nothing_is_served_in_plaintext_to_others() -> None:
    with pytest.raises(SettingsError, match="nothing would be encrypted"):
        ServeSettings(source="out", listen=address("0.0.0.0:18000"), tls=None)
    with pytest.raises(SettingsError, match="nothing would be encrypted"):
        ServeSettings(source="out", listen=address("mesh.example:18000"), tls=None)
    ServeSettings(source="out", listen=address("unix:/run/x.sock"), tls=None)
    ServeSettings(source="out", listen=address("[::1]:18000"), tls=None)
