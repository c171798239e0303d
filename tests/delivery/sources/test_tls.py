"""A source behind TLS: whom the agent believes, and whom not."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import Source, SourceError, open_source
from meshc.diagnostics.errors import SettingsError
from tests.artifact.bundles import OLD
from tests.delivery.sources.raw_server import HOST, RawServer, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CA = """
[ca]
default_ca = own
[own]
dir = .
database = index
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


class Authority:
    """A certificate authority of one's own, in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / name
        self._folder.mkdir()
        self.certificate = self._folder / "ca.pem"
        (self._folder / "ca.cnf").write_text(_CA)
        (self._folder / "index").touch()
        (self._folder / "serial").write_text("01\n")
        self._run(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", f"/CN={name}"),
        )

    def context(self, host: str, *, since: str = "20200101000000Z", until: str) -> ssl.SSLContext:
        """What a server needs that has a certificate for an IP address."""
        self._run(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=server"),
            *("-addext", f"subjectAltName=IP:{host}"),
        )
        self._run(
            *("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"),
            *("-in", "request.pem", "-out", "server.pem", "-notext"),
            *("-startdate", since, "-enddate", until),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem", self._folder / "key.pem")
        return context

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self._folder, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the PATH to make certificates with")
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as server:
        for path, data in {**OLD.files, "manifest.json": OLD.manifest}.items():
            server.answers[f"/{path}"] = reply(data)
        yield server


@pytest.fixture
def web(server: RawServer, ours: Authority, tmp_path: Path) -> Callable[..., Source]:
    def opened(**more: Any) -> Source:
        given: dict[str, Any] = {"source": server.address, "ca_file": str(ours.certificate)}
        given |= more
        settings = AgentSettings(node="a", target=tmp_path, state=tmp_path / "state", **given)
        return open_source(settings, lambda _digest: None)

    return opened


def test_a_server_with_a_certificate_of_the_given_authority_is_believed(
    server: RawServer, ours: Authority, web: Callable[..., Source]
) -> None:
    server.tls = ours.context(HOST, until="20991231000000Z")

    bundle = web().fetch(None)

    assert bundle is not None
    assert bundle.files == OLD.seen["a"]


@pytest.mark.parametrize(
    ("host", "since", "until", "reason"),
    [
        (HOST, "20200101000000Z", "20210101000000Z", "expired"),
        (HOST, "20980101000000Z", "20991231000000Z", "not yet valid"),
        ("127.0.44.9", "20200101000000Z", "20991231000000Z", "IP address mismatch"),
    ],
    ids=["expired", "of tomorrow", "of another host"],
)
def test_a_certificate_that_does_not_hold_is_refused(
    server: RawServer,
    ours: Authority,
    web: Callable[..., Source],
    *,
    host: str,
    since: str,
    until: str,
    reason: str,
) -> None:
    server.tls = ours.context(host, since=since, until=until)

    with pytest.raises(SourceError, match=reason):
        web().fetch(None)

    assert server.asked == []


def test_an_authority_that_nobody_named_is_not_believed(
    server: RawServer, web: Callable[..., Source], tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    server.tls = stranger.context(HOST, until="20991231000000Z")

    with pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"):
        web().fetch(None)

    assert server.asked == []


def test_without_a_ca_file_those_of_the_system_count(
    server: RawServer, ours: Authority, web: Callable[..., Source]
) -> None:
    server.tls = ours.context(HOST, until="20991231000000Z")

    with pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"):
        web(ca_file="").fetch(None)


def test_an_old_protocol_is_refused(
    server: RawServer, ours: Authority, web: Callable[..., Source]
) -> None:
    server.tls = ours.context(HOST, until="20991231000000Z")
    server.tls.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        server.tls.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        server.tls.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises(SourceError, match=r"(?i)version|alert"):
        web().fetch(None)


def test_a_server_without_tls_is_said(web: Callable[..., Source]) -> None:
    with socket.create_server((HOST, 0)) as plain:

        def answer() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()

        with pytest.raises(SourceError, match="WRONG_VERSION_NUMBER"):
            web(source=f"https://{HOST}:{plain.getsockname()[1]}").fetch(None)


def test_a_handshake_that_never_ends_is_given_up_in_time(web: Callable[..., Source]) -> None:
    with socket.create_server((HOST, 0)) as hung:
        source = web(source=f"https://{HOST}:{hung.getsockname()[1]}", source_limit=0.3)

        with pytest.raises(SourceError, match="timed out"):
            source.fetch(None)


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_ca_file_that_is_none_is_a_wrong_setting(
    server: RawServer, ours: Authority, web: Callable[..., Source], tmp_path: Path, content: bytes
) -> None:
    server.tls = ours.context(HOST, until="20991231000000Z")
    place = tmp_path / "ca.pem"
    if content is not None:
        place.write_bytes(content)

    with pytest.raises(SettingsError, match="cannot use the certificates"):
        web(ca_file=str(place))
