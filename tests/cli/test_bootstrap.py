"""`meshc bootstrap`: what an Envoy starts with in the dynamic mode, printed or written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.program import run

if TYPE_CHECKING:
    from pathlib import Path

_SERVER = ("--mode", "grpc", "--server", "10.0.0.5:18000")
_TLS = "envoy.transport_sockets.tls"


def _cluster(bootstrap: dict[str, Any]) -> dict[str, Any]:
    (cluster,) = (one for one in bootstrap["static_resources"]["clusters"] if one["name"] == "xds")
    found: dict[str, Any] = cluster
    return found


def _common(bootstrap: dict[str, Any]) -> dict[str, Any]:
    socket = _cluster(bootstrap)["transport_socket"]
    assert socket["name"] == _TLS
    found: dict[str, Any] = socket["typed_config"]["common_tls_context"]
    return found


@pytest.mark.parametrize(
    ("flags", "way"),
    [((), "DELTA_GRPC"), (("--subscribe", "ads"), "GRPC")],
    ids=["default", "ads"],
)
def test_an_envoy_subscribes_by_delta_unless_told_otherwise(
    mesh: Path, flags: tuple[str, ...], way: str
) -> None:
    done = run("bootstrap", "app1", *_SERVER, *flags, cwd=mesh)

    dynamic = json.loads(done.stdout)["dynamic_resources"]
    assert dynamic["ads_config"]["api_type"] == way
    assert dynamic["cds_config"]["ads"] == dynamic["lds_config"]["ads"] == {}


def test_what_is_printed_names_certificates_that_are_read_once(mesh: Path) -> None:
    done = run("bootstrap", "app1", *_SERVER, "--tls-directory", "/tls/", cwd=mesh)

    common = _common(json.loads(done.stdout))
    assert common["tls_certificates"] == [
        {
            "certificate_chain": {"filename": "/tls/node.pem"},
            "private_key": {"filename": "/tls/node.key"},
        }
    ]
    assert common["validation_context"] == {
        "trusted_ca": {"filename": "/tls/server-ca.pem"},
        "match_typed_subject_alt_names": [
            {"san_type": "IP_ADDRESS", "matcher": {"exact": "10.0.0.5"}}
        ],
    }


def test_what_is_written_names_files_by_which_certificates_are_read_anew(mesh: Path) -> None:
    place = mesh / "start"
    done = run("bootstrap", "app1", *_SERVER, "--to", "start", cwd=mesh)

    assert done.stdout == "start: node-certificate.json, server-authority.json, bootstrap.json\n"
    common = _common(json.loads((place / "bootstrap.json").read_text()))
    (node,) = common["tls_certificate_sds_secret_configs"]
    server = common["validation_context_sds_secret_config"]
    assert {
        one["name"]: one["sds_config"]["path_config_source"]["path"] for one in (node, server)
    } == {
        "node-certificate": f"{place}/node-certificate.json",
        "server-authority": f"{place}/server-authority.json",
    }
    (secret,) = json.loads((place / "node-certificate.json").read_text())["resources"]
    assert secret == {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "node-certificate",
        "tls_certificate": {
            "certificate_chain": {"filename": "/etc/meshc/tls/node.pem"},
            "private_key": {"filename": "/etc/meshc/tls/node.key"},
        },
    }
    (secret,) = json.loads((place / "server-authority.json").read_text())["resources"]
    assert secret["validation_context"]["trusted_ca"] == {
        "filename": "/etc/meshc/tls/server-ca.pem"
    }


@pytest.mark.parametrize(
    "flags",
    [(*_SERVER, "--plaintext"), ("--mode", "file"), ("--mode", "grpc-client", *_SERVER[2:])],
    ids=["plaintext", "file", "grpc-client"],
)
def test_without_certificates_of_an_envoy_the_bootstrap_alone_is_written(
    mesh: Path, flags: tuple[str, ...]
) -> None:
    printed = run("bootstrap", "app1", *flags, cwd=mesh).stdout

    done = run("bootstrap", "app1", *flags, "--to", "start", cwd=mesh)

    assert done.stdout == "start: bootstrap.json\n"
    assert [path.name for path in (mesh / "start").iterdir()] == ["bootstrap.json"]
    assert (mesh / "start" / "bootstrap.json").read_text() == printed


def test_a_folder_that_cannot_be_written_is_said(mesh: Path) -> None:
    (mesh / "start").write_text("a file")

    done = run("bootstrap", "app1", *_SERVER, "--to", "start/here", cwd=mesh)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == 'error: cannot write to "start/here": Not a directory\n'


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--mode", "grpc"), 2, "--mode grpc needs --server HOST:PORT."),
        (("--server", "a:1"), 2, "--server goes with --mode grpc or grpc-client."),
        (("--mode", "grpc", "--server", "a"), 3, '"a" is neither unix:/path nor HOST:PORT'),
        (("--mode", "grpc", "--server", "unix:/a"), 3, '"unix:/a" is no HOST:PORT of a server'),
    ],
)
def test_a_server_is_a_host_and_a_port(
    mesh: Path, flags: tuple[str, ...], code: int, said: str
) -> None:
    done = run("bootstrap", "app1", *flags, cwd=mesh)

    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
