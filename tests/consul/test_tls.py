"""TLS: who is believed, with which certificates, and that limits hold there too."""

from __future__ import annotations

import shutil
import ssl
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meshc.consul.client import ConsulClient
from meshc.consul.errors import ConsulError, ConsulUnreachableError
from meshc.consul.settings import ConsulSettings
from tests.consul import model
from tests.consul.authority import Authority
from tests.consul.model import ModelConsul
from tests.delivery.live import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.consul.authority import Certificate

_HOST = "127.0.46.6"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def serving(made: Certificate, *, clients: Authority | None = None) -> ModelConsul:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.file, made.key)
    if clients is not None:
        context.load_verify_locations(clients.file)
        context.verify_mode = ssl.CERT_REQUIRED
    consul = ModelConsul(_HOST, context)
    consul.put("key", b"value")
    return consul


def settings(consul: ModelConsul, authority: Authority, timeout: float = 10.0) -> ConsulSettings:
    return ConsulSettings(address=consul.address, ca_file=authority.file, timeout=timeout)


def value_at(one: ConsulSettings) -> bytes:
    with ConsulClient(one) as client:
        found = client.kv_get("key").value
    assert found is not None
    return found.value


def test_the_certificate_has_to_name_the_host(authority: Authority) -> None:
    with serving(authority.issue("elsewhere", "DNS:server.dc1.consul")) as consul:
        given = settings(consul, authority)
        with pytest.raises(ConsulUnreachableError, match="certificate does not hold") as found:
            value_at(given)
        assert "CONSUL_TLS_SERVER_NAME" in str(found.value.hint)
        assert consul.questions == []
        assert value_at(replace(given, server_name="server.dc1.consul")) == b"value"


def test_a_client_shows_its_certificate_where_it_has_to(authority: Authority) -> None:
    own = authority.issue("own", "DNS:client")
    with serving(authority.issue_server("s1", _HOST), clients=authority) as consul:
        given = settings(consul, authority)
        with pytest.raises(ConsulUnreachableError):
            value_at(given)
        assert consul.questions == []
        assert value_at(replace(given, cert_file=own.file, key_file=own.key)) == b"value"


def test_certificates_that_are_replaced_count_without_a_restart(
    authority: Authority, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    shutil.copy(Authority(tmp_path / "old", "the old one").file, ca_file)
    with serving(authority.issue_server("s2", _HOST)) as consul:
        given = ConsulSettings(address=consul.address, ca_file=ca_file)
        with ConsulClient(given) as client:
            with pytest.raises(ConsulUnreachableError, match="certificate does not hold"):
                client.kv_get("key")
            ca_file.unlink()
            with pytest.raises(ConsulUnreachableError, match="No such file"):
                client.kv_get("key")
            shutil.copy(authority.file, ca_file)
            assert client.kv_get("key").value is not None


def test_no_tls_there_is_told() -> None:
    with ModelConsul(_HOST) as consul:
        given = ConsulSettings(address=consul.address.replace("http", "https"))
        with pytest.raises(ConsulUnreachableError, match="TLS fails") as found:
            value_at(given)
    assert found.value.hint == "does it speak TLS there?"


@pytest.mark.parametrize("of_headers", [True, False], ids=["headers", "body"])
def test_an_answer_that_drips_is_cut_at_the_deadline(
    authority: Authority, *, of_headers: bool
) -> None:
    with serving(authority.issue_server("s3", _HOST)) as consul:
        consul.always = model.slow(b"x" * 100, pause=0.2, of_headers=of_headers)
        with pytest.raises(ConsulUnreachableError, match="no complete answer within 0.5 s"):
            value_at(settings(consul, authority, timeout=0.5))


def test_closing_ends_a_question_that_waits_in_another_thread(authority: Authority) -> None:
    errors: list[ConsulError] = []
    with serving(authority.issue_server("s4", _HOST)) as consul:
        client = ConsulClient(settings(consul, authority))

        def ask() -> None:
            try:
                client.kv_get("key", index=consul.index, wait=25.0)
            except ConsulError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: len(consul.questions) == 1, "the question")
        client.close()
        thread.join(10)
    assert [type(one) for one in errors] == [ConsulUnreachableError]


def test_connections_are_kept_with_tls_too(authority: Authority) -> None:
    with serving(authority.issue_server("s5", _HOST)) as consul:
        with ConsulClient(settings(consul, authority)) as client:
            client.kv_put("key", b"x" * 500_000)
            client.kv_put("key", b"y")
            client.kv_get("key")
        assert len({one.connection for one in consul.questions}) == 1
