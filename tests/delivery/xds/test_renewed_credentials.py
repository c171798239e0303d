"""A real Envoy whose certificate is renewed, and whose server's authority changes, goes on."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.consul.authority import Authority, Certificate
from tests.delivery.live import running_envoy, until, upstream
from tests.delivery.xds.certificates import Certificates, certificates
from tests.delivery.xds.live import DRAIN_S, HOST, Mesh, Running, ask_once, server_of
from tests.delivery.xds.served import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.delivery.agent.admin import EnvoyAdmin

pytestmark = pytest.mark.envoy

_MESHC = Path(sys.executable).with_name("meshc")


def _put(source: Path, place: Path) -> None:
    """Replace a file by a rename, as whoever renews certificates does."""
    new = place.with_name(f"{place.name}.new")
    shutil.copy(source, new)
    new.rename(place)


@contextlib.contextmanager
def _envoy(
    folder: Path, bundle: Path, known: Certificates, mesh: Mesh, *flags: str
) -> Iterator[EnvoyAdmin]:
    """An Envoy that starts with what `meshc bootstrap` has written."""
    specs = bundle.parent / "specs"
    done = subprocess.run(
        [
            *(str(_MESHC), "bootstrap", "front1", "--specs", str(specs), "--mode", "grpc"),
            *("--tls-directory", str(known.node_folder), "--to", str(folder), *flags),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    said = f"{folder}: node-certificate.json, server-authority.json, bootstrap.json\n"
    assert (done.stdout, done.stderr) == (said, "")
    with running_envoy(folder, mesh.admin, DRAIN_S) as asked:
        yield asked


def _await_streams(server: Running, since: float) -> None:
    def are_new() -> bool:
        streams = server.status()["streams"]
        return bool(streams) and all(one["is_settled"] and one["since"] > since for one in streams)

    until(are_new, "the Envoy on streams of now")


@pytest.mark.parametrize("way", ["delta-ads", "per-type"])
def test_an_envoy_follows_renewed_credentials_without_a_restart(tmp_path: Path, way: str) -> None:
    known = certificates(tmp_path)
    mesh, port = Mesh(tmp_path), free_port()
    withdrawn = tmp_path / "withdrawn.txt"
    withdrawn.write_text("")
    with (
        upstream(HOST, "one") as one,
        upstream(HOST, "two") as two,
        contextlib.ExitStack() as stack,
    ):
        before, after = mesh.build([one]), mesh.build([two])
        shutil.copytree(before, tmp_path / "served")
        first = stack.enter_context(contextlib.ExitStack())
        server = first.enter_context(
            server_of(tmp_path / "served", tls=known.tls, withdrawn=withdrawn, port=port)
        )
        place = ("--server", f"127.0.0.1:{port}", "--subscribe", way)
        stack.enter_context(_envoy(tmp_path / "envoy", before, known, mesh, *place))
        until(lambda: ask_once(mesh) == "one", "the first answer")

        old = Certificate(*reversed(known.node_files)).serial()
        renewed = known.nodes.issue("renewed", "DNS:front1")
        _put(renewed.key, known.node_folder / "node.key")
        _put(renewed.file, known.node_folder / "node.pem")
        now = time.time()
        withdrawn.write_text(f"{old}\n")
        _await_streams(server, now)
        server.put(after)
        until(lambda: ask_once(mesh) == "two", "what changed after the renewal")

        # The authority of servers changes: first the host believes both, then the server moves.
        next_authority = Authority(tmp_path / "next", "next")
        issued = next_authority.issue("server", "IP:127.0.0.1")
        both = tmp_path / "both.pem"
        both.write_bytes(known.servers.file.read_bytes() + next_authority.file.read_bytes())
        _put(both, known.node_folder / "server-ca.pem")
        first.close()
        tls = replace(known.tls, certificate=issued.file, key=issued.key)
        moved = stack.enter_context(server_of(tmp_path / "served", tls=tls, port=port))
        _await_streams(moved, now)
        moved.put(before)
        until(lambda: ask_once(mesh) == "one", "what changed after the authority did")
