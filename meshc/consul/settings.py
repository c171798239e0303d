"""What meshc is told about Consul: flags, below them the variables of Consul's own tools."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshc.consul.address import DEFAULT_ADDRESS, Endpoint, parse_endpoint
from meshc.consul.secret import Secret, TokenSource, checked_token
from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_VARIABLES = {
    "address": "CONSUL_HTTP_ADDR",
    "token": "CONSUL_HTTP_TOKEN",
    "token_file": "CONSUL_HTTP_TOKEN_FILE",
    "ca_file": "CONSUL_CACERT",
    "cert_file": "CONSUL_CLIENT_CERT",
    "key_file": "CONSUL_CLIENT_KEY",
    "server_name": "CONSUL_TLS_SERVER_NAME",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulSettings:
    """How to reach Consul; ``timeout`` is in seconds and bounds a whole exchange.

    A token file is above a token, and is read anew for every request.
    """

    address: str = DEFAULT_ADDRESS
    token: Secret = field(default_factory=lambda: Secret(""))
    token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""
    """Name in Consul's certificate, where it is not the host of the address."""
    datacenter: str = ""
    timeout: float = 10.0

    def __post_init__(self) -> None:
        parse_endpoint(self.address)
        if not 0 < self.timeout < math.inf:
            raise SettingsError("the time limit for Consul must be more than 0 seconds")
        if (self.cert_file is None) != (self.key_file is None):
            raise SettingsError(
                "a client certificate for Consul needs its key, and a key its certificate",
                hint="give both files or none",
            )

    @property
    def endpoint(self) -> Endpoint:
        """Where Consul listens."""
        return parse_endpoint(self.address)

    def tokens(self) -> TokenSource:
        """Return where the token of each request comes from."""
        return TokenSource(self.token, self.token_file)


def load_consul_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str]
) -> ConsulSettings:
    """Put the settings together; a flag that was not given is None or empty.

    Raises:
        SettingsError: something contradicts itself or cannot be used.
    """
    found: dict[str, Any] = {
        name: environment[variable]
        for name, variable in _VARIABLES.items()
        if environment.get(variable)
    }
    given = {name: value for name, value in flags.items() if value not in (None, "")}
    if "token_file" in given:
        found.pop("token", None)
    elif "token" in given:
        found.pop("token_file", None)
    found |= given
    _refuse_unverified(environment)
    is_tls = _switch(environment, "CONSUL_HTTP_SSL") or False
    found["address"] = str(parse_endpoint(found.get("address", DEFAULT_ADDRESS), is_tls=is_tls))
    if isinstance(found.get("token"), str):
        found["token"] = checked_token(found["token"], _VARIABLES["token"])
    for name in ("token_file", "ca_file", "cert_file", "key_file"):
        if name in found:
            found[name] = Path(found[name])
    return ConsulSettings(**found)


def _refuse_unverified(environment: Mapping[str, str]) -> None:
    if _switch(environment, "CONSUL_HTTP_SSL_VERIFY") is False:
        raise SettingsError(
            "CONSUL_HTTP_SSL_VERIFY is false, and certificates are always checked",
            hint="unset it and name the authority of Consul's certificate in CONSUL_CACERT",
        )


def _switch(environment: Mapping[str, str], name: str) -> bool | None:
    text = environment.get(name, "").strip().lower()
    if not text:
        return None
    if text not in (*_TRUE, *_FALSE):
        raise SettingsError(f'{name} must be true or false, not "{text}"')
    return text in _TRUE
