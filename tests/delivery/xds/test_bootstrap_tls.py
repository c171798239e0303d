"""Real Envoys and the names of servers: which certificate of a server an Envoy believes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.xds.bootstrap import Credentials, Subscribing, check_bootstrap, grpc_bootstrap
from tests.delivery.live import until, upstream
from tests.delivery.xds.certificates import certificates
from tests.delivery.xds.live import HOST, Mesh, ask_once, envoy_on, server_of
from tests.delivery.xds.served import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.delivery.agent.admin import EnvoyAdmin

_CREDENTIALS = Credentials(certificate="node.pem", key="node.key", ca="server-ca.pem")


@pytest.mark.envoy
@pytest.mark.parametrize(
    ("names", "alternative"),
    [
        (["localhost"], "DNS:localhost"),
        (["127.0.0.1"], "IP:127.0.0.1"),
        (["localhost", "127.0.0.1"], "IP:127.0.0.1"),
        (["127.0.0.1", "localhost"], "DNS:localhost"),
    ],
)
def test_a_server_has_the_name_or_address_of_one_of_those_in_the_bootstrap(
    tmp_path: Path, names: list[str], alternative: str
) -> None:
    known = certificates(tmp_path, alternative)
    mesh = Mesh(tmp_path)
    with upstream(HOST, "one") as one:
        bundle = mesh.build([one])
        with server_of(bundle, tls=known.tls) as running:
            # The first of two is away.
            ports = [free_port() for _ in names[1:]] + [running.server.port]
            with envoy_on(
                tmp_path / "envoy",
                bundle,
                mesh.admin,
                *zip(names, ports, strict=True),
                subscribing=Subscribing.ADS,
                credentials=known.credentials,
            ):
                until(lambda: ask_once(mesh) == "one", "an answer")


@pytest.mark.envoy
@pytest.mark.parametrize("alternative", ["DNS:other.invalid", "IP:127.0.0.2", "DNS:127.0.0.1"])
def test_a_server_with_another_name_is_not_believed(tmp_path: Path, alternative: str) -> None:
    known = certificates(tmp_path, alternative)
    mesh = Mesh(tmp_path)
    with upstream(HOST, "one") as one:
        bundle = mesh.build([one])
        with (
            server_of(bundle, tls=known.tls) as running,
            envoy_on(
                tmp_path / "envoy",
                bundle,
                mesh.admin,
                running.server.port,
                subscribing=Subscribing.ADS,
                credentials=known.credentials,
                gets_listeners=False,
            ) as admin,
        ):
            until(lambda: _refused(admin) > 0, "a certificate that is refused")
            assert running.status()["streams"] == []
            assert admin.versions().get("listener_manager.lds.version_text", "") == ""


def _refused(admin: EnvoyAdmin) -> int:
    """How often an Envoy did not believe the name in a certificate of the server."""
    said = admin._ask("/stats?filter=^cluster.xds.ssl.fail_verify_san$").decode()
    return int(said.partition(": ")[2] or 0)


@pytest.mark.parametrize(
    ("servers", "name_is_sent"),
    [
        ([("a.example", 1), ("b.example", 2)], {"auto_host_sni": True}),
        ([("10.0.0.5", 1)], {}),
        ([("2001:db8::5", 1), ("b.example", 2)], {}),
    ],
)
def test_a_server_is_told_its_name_where_all_have_one(
    servers: list[tuple[str, int]], name_is_sent: dict[str, bool]
) -> None:
    context = _tls_of(servers)

    assert {key: value for key, value in context.items() if "sni" in key} == name_is_sent
    names = context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert [one["matcher"]["exact"] for one in names] == [host for host, _ in servers]


def _tls_of(servers: list[tuple[str, int]]) -> dict[str, Any]:
    node = {"id": "front1", "cluster": "front"}
    found = grpc_bootstrap(
        {"node": node}, servers, subscribing=Subscribing.ADS, credentials=_CREDENTIALS
    )
    check_bootstrap(found)
    (cluster,) = json.loads(json.dumps(found))["static_resources"]["clusters"]
    config: dict[str, Any] = cluster["transport_socket"]["typed_config"]
    return config
