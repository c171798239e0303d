"""A program without an Envoy: grpcio's own xDS client, with the bootstrap that meshc prints."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.xds.bootstrap import grpc_client_bootstrap
from meshc.delivery.xds.content.grpc_client import for_grpc_client
from meshc.delivery.xds.process.status import describe
from meshc.delivery.xds.protocol.types import ENDPOINT, LISTENER
from tests.delivery.xds.answering import answering
from tests.delivery.xds.certificates import Certificates, certificates
from tests.delivery.xds.meshes import APP, SECOND_HOST, SMALL, STORE, make_bundle
from tests.delivery.xds.served import caller, free_port, served

if TYPE_CHECKING:
    from collections.abc import Iterator

_CALLER = Path(__file__).with_name("grpc_caller.py")
_MESHC = Path(sys.executable).with_name("meshc")
_CALLS = 20
_TRIES = 200


def _documents(ports: dict[str, int]) -> dict[str, str]:
    hosts = "".join(
        f"- name: {name}\n"
        f"  ingressAddr: {{host: 127.0.0.1, port: {port}}}\n"
        f"  substanceAddr: {{host: 127.0.0.2, port: {port}}}\n"
        for name, port in ports.items()
    )
    return {
        "app": f"protocol: GRPC\nhosts:\n{hosts}",
        "front": "protocol: HTTP\nhosts:\n- name: front1\n"
        "  ingressAddr: {host: 127.0.9.1, port: 8000}\n"
        "  substanceAddr: {host: 127.0.0.1, port: 9000}\n"
        "dependentServices:\n- {name: app, egressPort: 9001}\n",
    }


@contextlib.contextmanager
def _caller(target: str, bootstrap: Path, *, seconds: int = 10) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(_CALLER), target, str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"GRPC_XDS_BOOTSTRAP": str(bootstrap)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _ask(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("target", "secured"),
    [("xds:///app", ""), ("xds:///app:9001", ""), ("xds:///app", "by certificates")],
)
def test_calls_reach_every_host_and_none_that_was_taken_out(
    tmp_path: Path, target: str, secured: str
) -> None:
    known = certificates(tmp_path) if secured else None
    with answering("app1") as one, answering("app2") as two:
        both = make_bundle(tmp_path / "both", _documents({"app1": one, "app2": two}))
        less = make_bundle(tmp_path / "less", _documents({"app2": two}))
        shutil.copytree(both, tmp_path / "served")
        port = free_port()
        bootstrap = _bootstrap(tmp_path, port, known=known)

        async def run() -> None:
            tls = known.tls if known else None
            async with served(tmp_path / "served", port=port, tls=tls) as server:
                with _caller(target, bootstrap) as program:
                    found: set[str] = set()
                    for _ in range(_CALLS):
                        found.add(await asyncio.to_thread(_ask, program))
                    assert found == {"app1", "app2"}

                    await server.put(less)
                    for _ in range(_TRIES):
                        last = [await asyncio.to_thread(_ask, program) for _ in range(_CALLS)]
                        if set(last) == {"app2"}:
                            break
                    assert set(last) == {"app2"}
                    (status,) = describe(server.serving)["streams"]
                    assert {name: kind["state"] for name, kind in status["types"].items()} == (
                        dict.fromkeys(("LDS", "RDS", "CDS", "EDS"), "acknowledged")
                    )

        asyncio.run(run())


@pytest.mark.parametrize(
    ("balancing", "is_taken"),
    [
        ("policy: roundRobin", True),
        ("policy: ringHash, hashOn: {header: x-user}", True),
        ("policy: leastRequest", False),
        ("policy: random", False),
        ("policy: maglev, hashOn: {header: x-user}", False),
    ],
)
def test_what_such_a_client_refuses_is_what_meshc_warns_of(
    tmp_path: Path, balancing: str, *, is_taken: bool
) -> None:
    with answering("app1") as one:
        documents = _documents({"app1": one})
        documents["app"] += f"loadBalancing: {{{balancing}}}\n"
        both = make_bundle(tmp_path / "both", documents)
        port = free_port()
        bootstrap = _bootstrap(tmp_path, port, known=None)
        warned = subprocess.run(
            [
                *(str(_MESHC), "bootstrap", "front1", "--specs", str(tmp_path / "both" / "specs")),
                *("--mode", "grpc-client", "--server", "127.0.0.1:1", "--plaintext"),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stderr

        async def run() -> None:
            async with served(both, port=port, tls=None) as server:
                with _caller("xds:///app", bootstrap, seconds=2) as program:
                    answer = await asyncio.to_thread(_ask, program)
                    (status,) = describe(server.serving)["streams"]
            assert (answer == "app1") is is_taken
            assert status["types"]["CDS"]["state"] == ("acknowledged" if is_taken else "refused")

        asyncio.run(run())

    assert ("warning[MC505]" in warned) is not is_taken


def test_a_node_without_a_locality_has_an_empty_one() -> None:
    """grpc-js refuses a bootstrap without it."""
    found = grpc_client_bootstrap({"node": {"id": "n1"}}, [("::1", 1)], credentials=None)

    assert found["node"] == {"id": "n1", "locality": {}}


def _bootstrap(
    folder: Path, *ports: int, known: Certificates | None, host: str = "127.0.0.1"
) -> Path:
    """Let meshc print what the program starts with; without certificates in plaintext."""
    secured = ["--tls-directory", str(known.node_folder)] if known else ["--plaintext"]
    servers = [word for port in ports for word in ("--server", f"{host}:{port}")]
    printed = subprocess.run(
        [
            *(str(_MESHC), "bootstrap", "front1", "--specs", str(folder / "both" / "specs")),
            *("--mode", "grpc-client", *servers, *secured),
        ],
        check=True,
        capture_output=True,
    )
    assert json.loads(printed.stdout)["node"]["id"] == "front1"
    bootstrap = folder / "grpc.json"
    bootstrap.write_bytes(printed.stdout)
    return bootstrap


def _answer_of(
    folder: Path, host: str, alternative: str, *, node: str = "front1", seconds: int = 10
) -> str:
    """Call over a server with such a certificate, as the program of a node; returns what it got."""
    known = certificates(folder, alternative, node=node)
    with answering("app1") as one:
        bundle = make_bundle(folder / "both", _documents({"app1": one}))
        port = free_port()
        bootstrap = _bootstrap(folder, port, known=known, host=host)

        async def run() -> str:
            async with served(bundle, port=port, tls=known.tls):
                with _caller("xds:///app", bootstrap, seconds=seconds) as program:
                    return await asyncio.to_thread(_ask, program)

        return asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "alternative"), [("localhost", "DNS:localhost"), ("127.0.0.1", "IP:127.0.0.1")]
)
def test_a_server_has_the_name_or_address_in_the_bootstrap(
    tmp_path: Path, host: str, alternative: str
) -> None:
    assert _answer_of(tmp_path, host, alternative) == "app1"


@pytest.mark.parametrize(
    ("host", "alternative", "node"),
    [
        ("127.0.0.1", "IP:127.0.0.2", "front1"),
        ("localhost", "DNS:other.invalid", "front1"),
        ("localhost", "IP:127.0.0.1", "front1"),
        ("127.0.0.1", "IP:127.0.0.1", "other1"),
    ],
)
def test_a_server_with_another_name_or_a_node_with_another_certificate_gives_nothing(
    tmp_path: Path, host: str, alternative: str, node: str
) -> None:
    found = _answer_of(tmp_path, host, alternative, node=node, seconds=2)

    assert found.startswith("error")


def test_servers_are_named_as_in_an_address() -> None:
    servers = [("mesh.example", 18000), ("10.0.0.5", 18001), ("2001:db8::5", 18002)]

    found = grpc_client_bootstrap({"node": {"id": "front1"}}, servers, credentials=None)

    assert [one["server_uri"] for one in found["xds_servers"]] == [
        "mesh.example:18000",
        "10.0.0.5:18001",
        "[2001:db8::5]:18002",
    ]


def test_a_program_goes_to_the_next_server_where_the_first_is_away(tmp_path: Path) -> None:
    with answering("app1") as one:
        bundle = make_bundle(tmp_path / "both", _documents({"app1": one}))
        away, port = free_port(), free_port()
        bootstrap = _bootstrap(tmp_path, away, port, known=None)

        async def run() -> str:
            async with served(bundle, port=port):
                with _caller("xds:///app", bootstrap) as program:
                    return await asyncio.to_thread(_ask, program)

        assert asyncio.run(run()) == "app1"


def test_dependencies_that_speak_http_are_found_by_name_and_others_are_not(tmp_path: Path) -> None:
    documents = SMALL | {"store": STORE.replace("HTTP", "TCP")}
    listeners = _resources(make_bundle(tmp_path, documents) / "nodes" / "front1" / "lds.json")

    found = for_grpc_client(listeners, LISTENER)

    assert found[: len(listeners)] == listeners
    added = found[len(listeners) :]
    assert [one["name"] for one in added] == ["app", "app:9001"]
    assert {tuple(sorted(one)) for one in added} == {("@type", "api_listener", "name")}


def test_a_locality_weighs_as_much_as_its_hosts_together(tmp_path: Path) -> None:
    heavy = APP.replace("- name: app1", "- name: app1\n  weight: 3") + SECOND_HOST
    bundle = make_bundle(tmp_path, SMALL | {"app": heavy})

    (found,) = for_grpc_client(_resources(bundle / "services" / "app" / "eds.json"), ENDPOINT)

    (locality,) = found["endpoints"]
    assert locality["load_balancing_weight"] == 4
    assert locality["locality"] == {}


def _resources(path: Path) -> list[Any]:
    found: list[Any] = json.loads(path.read_text())["resources"]
    return found


def test_an_envoy_gets_none_of_this(tmp_path: Path) -> None:
    async def run() -> dict[str, int]:
        counts = {}
        async with served(make_bundle(tmp_path)) as server, caller(server.port) as client:
            for agent in ("envoy", "gRPC C-core Linux"):
                call = client.stream("front1")
                await call.ask(
                    LISTENER, resource_names=["*"], node={"id": "front1", "user_agent_name": agent}
                )
                counts[agent] = len((await call.answer()).resources)
                call.cancel()
        return counts

    assert asyncio.run(run()) == {"envoy": 3, "gRPC C-core Linux": 7}
