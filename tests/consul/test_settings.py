"""What meshc is told about Consul."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshc.consul.address import ConsulAddress, parse_consul_url, parse_endpoint
from meshc.consul.errors import ConsulDeniedError
from meshc.consul.secret import Secret
from meshc.consul.settings import ConsulSettings, load_consul_settings
from meshc.diagnostics.errors import SettingsError


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "http://127.0.0.1:8500"),
        ({"CONSUL_HTTP_ADDR": "10.0.0.1:8501"}, "http://10.0.0.1:8501"),
        ({"CONSUL_HTTP_ADDR": "consul.example"}, "http://consul.example:8500"),
        ({"CONSUL_HTTP_ADDR": "10.0.0.1:8501", "CONSUL_HTTP_SSL": "true"}, "https://10.0.0.1:8501"),
        ({"CONSUL_HTTP_ADDR": "http://10.0.0.1:1", "CONSUL_HTTP_SSL": "1"}, "http://10.0.0.1:1"),
        ({"CONSUL_HTTP_ADDR": "https://[::1]:8501"}, "https://[::1]:8501"),
    ],
)
def test_the_address_is_read_as_consuls_own_tools_read_it(
    environment: dict[str, str], address: str
) -> None:
    assert load_consul_settings({}, environment).address == address


def test_flags_are_above_the_environment() -> None:
    environment = {
        "CONSUL_HTTP_ADDR": "10.0.0.1:1",
        "CONSUL_CACERT": "/theirs",
        "CONSUL_HTTP_TOKEN": "theirs",
    }
    flags = {"address": "10.0.0.2:2", "ca_file": "/mine", "token_file": "/token", "timeout": 3.0}
    found = load_consul_settings(flags, environment)
    assert found.address == "http://10.0.0.2:2"
    assert found.ca_file == Path("/mine")
    assert found.token_file == Path("/token")
    assert not found.token
    assert found.timeout == 3.0


def test_all_variables_of_consuls_tools_count() -> None:
    found = load_consul_settings(
        {},
        {
            "CONSUL_HTTP_ADDR": "https://consul.example:8501",
            "CONSUL_HTTP_TOKEN": " canary\n",
            "CONSUL_HTTP_TOKEN_FILE": "/run/token",
            "CONSUL_CACERT": "/ca.pem",
            "CONSUL_CLIENT_CERT": "/cert.pem",
            "CONSUL_CLIENT_KEY": "/key.pem",
            "CONSUL_TLS_SERVER_NAME": "server.dc1.consul",
        },
    )
    assert found == ConsulSettings(
        address="https://consul.example:8501",
        token=Secret("canary"),
        token_file=Path("/run/token"),
        ca_file=Path("/ca.pem"),
        cert_file=Path("/cert.pem"),
        key_file=Path("/key.pem"),
        server_name="server.dc1.consul",
    )


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        ({}, {"CONSUL_HTTP_SSL_VERIFY": "false"}, "certificates are always checked"),
        ({}, {"CONSUL_HTTP_SSL": "perhaps"}, "must be true or false"),
        ({}, {"CONSUL_CLIENT_CERT": "/cert.pem"}, "needs its key"),
        ({}, {"CONSUL_HTTP_ADDR": "unix:///run/consul.sock"}, "Unix sockets are not supported"),
        ({}, {"CONSUL_HTTP_ADDR": "http://h:1/prefix"}, "no address of Consul"),
        ({}, {"CONSUL_HTTP_ADDR": "http://h:99999"}, "no address of Consul"),
        ({}, {"CONSUL_HTTP_ADDR": "ftp://h:1"}, "no address of Consul"),
        ({"timeout": 0.0}, {}, "more than 0 seconds"),
    ],
)
def test_what_cannot_be_used_is_refused(
    flags: dict[str, Any], environment: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        load_consul_settings(flags, environment)


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError) as found:
        parse_endpoint("http://user:canary@consul.example:8500")
    assert "canary" not in str(found.value) + str(found.value.hint)


@pytest.mark.parametrize("text", ["two words", "a\nb", "ümlaut", "x" * 5000])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConsulDeniedError) as found:
        load_consul_settings({}, {"CONSUL_HTTP_TOKEN": text})
    assert text not in str(found.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("consul://10.0.0.1:8500/shop", ConsulAddress(mesh="shop", address="http://10.0.0.1:8500")),
        ("consul+https://c:8501/shop", ConsulAddress(mesh="shop", address="https://c:8501")),
        ("consul://[::1]:1/a_b-C", ConsulAddress(mesh="a_b-C", address="http://[::1]:1")),
        ("consul:///shop", ConsulAddress(mesh="shop")),
    ],
)
def test_a_mesh_in_a_consul_has_an_address(text: str, expected: ConsulAddress) -> None:
    assert parse_consul_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "consul://10.0.0.1:8500",
        "consul://10.0.0.1:8500/",
        "consul://10.0.0.1:8500/shop/more",
        "consul://10.0.0.1:8500/../shop",
        "consul://10.0.0.1:8500/shop?dc=x",
        "consul://user:pw@10.0.0.1:8500/shop",
        "consul://10.0.0.1:port/shop",
        "consul+https:///shop",
        "consul:shop",
        "http://10.0.0.1:8500/shop",
        "consul:///" + "x" * 65,
    ],
)
def test_what_names_no_mesh_in_a_consul_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_consul_url(text)


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret("canary")
    shown = (repr(secret), str(secret), f"{secret}", f"{ConsulSettings(token=secret)}")
    assert not any("canary" in one for one in shown)
    assert secret.reveal() == "canary"
