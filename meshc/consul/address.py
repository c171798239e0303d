"""Addresses: where Consul listens, and which mesh in it is meant."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from meshc.diagnostics.errors import SettingsError
from meshc.diagnostics.names import NAME_RULE, is_name

DEFAULT_ADDRESS = "http://127.0.0.1:8500"
_DEFAULT_PORT = 8500
_URL_HINT = "say consul://HOST:PORT/MESH, consul+https://HOST:PORT/MESH or consul:///MESH"
_ADDRESS_HINT = "say HOST:PORT, http://HOST:PORT or https://HOST:PORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsulAddress:
    """A mesh in a Consul; without ``address`` the settings say which Consul."""

    mesh: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where Consul's HTTP API listens."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def is_consul_url(text: str) -> bool:
    """Whether a text names a mesh in a Consul, rightly or not."""
    return text.startswith(("consul:", "consul+https:"))


def parse_consul_url(text: str) -> ConsulAddress:
    """Read ``consul://HOST:PORT/MESH``, ``consul+https://HOST:PORT/MESH`` or ``consul:///MESH``.

    Raises:
        SettingsError: it is none of these, or the mesh has no valid name.
    """
    scheme, _, rest = text.partition("://")
    if scheme not in {"consul", "consul+https"} or not is_consul_url(text):
        raise SettingsError(f'"{text}" names no mesh in Consul', hint=_URL_HINT)
    place, _, mesh = rest.partition("/")
    if not is_name(mesh):
        raise SettingsError(
            f'"{text}" ends in "{mesh}", which is no name of a mesh'
            if mesh
            else f'"{text}" does not say which mesh',
            hint=f"{_URL_HINT}; {NAME_RULE}",
        )
    if not place:
        if scheme != "consul":
            raise SettingsError(f'"{text}" says https, but not where', hint=_URL_HINT)
        return ConsulAddress(mesh=mesh)
    plain = "http" if scheme == "consul" else "https"
    return ConsulAddress(mesh=mesh, address=str(parse_endpoint(f"{plain}://{place}")))


def parse_endpoint(text: str, *, is_tls: bool = False) -> Endpoint:
    """Read where Consul listens; ``is_tls`` decides where the text does not say it.

    Raises:
        SettingsError: it is no address, or holds more than one.
    """
    if text.startswith("unix:"):
        raise SettingsError(
            f'Consul at "{text}": Unix sockets are not supported', hint=_ADDRESS_HINT
        )
    full = text if "://" in text else f"{'https' if is_tls else 'http'}://{text}"
    try:
        parts = urlsplit(full)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
        parts = urlsplit("")
    is_plain = parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username)
    if parts.scheme not in {"http", "https"} or not host or not is_plain or port == 0:
        # Shown without what stands before an "@": that would be a password.
        shown = text.rpartition("@")[2]
        raise SettingsError(f'"{shown}" is no address of Consul', hint=_ADDRESS_HINT)
    return Endpoint(scheme=parts.scheme, host=host, port=port or _DEFAULT_PORT)
