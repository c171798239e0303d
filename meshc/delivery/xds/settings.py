"""What `meshc serve` is told."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from meshc.delivery.xds.limits import Limits
from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from meshc.consul.settings import ConsulSettings
    from meshc.delivery.xds.tls import TlsFiles

_UNIX = "unix:"
_OF_THE_SERVICE = Path("/run/meshc")
_SOCKET = "serve.sock"
_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a path, or a host and a port."""

    host: str
    port: int | None = None

    @property
    def is_local(self) -> bool:
        """Whether nobody from outside this machine can reach it."""
        return self.port is None or self.host == "::1" or self.host.startswith("127.")

    def __str__(self) -> str:
        if self.port is None:
            return f"{_UNIX}{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def address(text: str) -> Address:
    """Read ``unix:/path`` or ``host:port``; raises SettingsError."""
    if text.startswith(f"{_UNIX}/"):
        return Address(text.removeprefix(_UNIX))
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdecimal() and int(port) <= _LAST_PORT):
        raise SettingsError(f'"{text}" is neither unix:/path nor HOST:PORT')
    return Address(host, int(port))


def control_to_serve() -> str:
    """Where a server says how it is, when it is not told: for the service, or for this user.

    Raises:
        SettingsError: there is no folder for that.
    """
    if os.access(_OF_THE_SERVICE, os.W_OK):
        return f"{_UNIX}{_OF_THE_SERVICE / _SOCKET}"
    own = _own_folder()
    try:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"no folder for the socket that tells the status: {own}: {error.strerror}",
            hint="say --control unix:/PATH, or --control none",
        ) from error
    return f"{_UNIX}{own / _SOCKET}"


def control_to_ask() -> str:
    """Where such a server is asked: this user's before the service."""
    own = _own_folder() / _SOCKET
    return f"{_UNIX}{own if own.exists() else _OF_THE_SERVICE / _SOCKET}"


def _own_folder() -> Path:
    of_the_login = os.environ.get("XDG_RUNTIME_DIR")
    return Path(of_the_login) / "meshc" if of_the_login else Path.home() / ".cache/meshc/run"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Everything that an operator may decide; times are in seconds."""

    source: str
    listen: Address
    tls: TlsFiles | None
    withdrawn: Path | None = None
    rest: Address | None = None
    control: Address | None = None
    """Where to answer `meshc serve status` and metrics."""
    consul: ConsulSettings | None = None
    """How to reach Consul, where the source is there."""
    poll: float = 1.0
    workers: int = 1
    """Processes that share the connections of one port."""
    log: str = "text"
    """``text`` or ``json``."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for one in (self.listen, self.rest):
            if self.tls is None and one is not None and not one.is_local:
                raise SettingsError(
                    f"{one} can be reached by others, and nothing would be encrypted",
                    hint="give --cert, --key and --client-ca; without them a server listens on "
                    "loopback or a Unix socket alone",
                )
        for one in (self.listen, self.rest):
            if self.workers > 1 and one is not None and not one.port:
                raise SettingsError(
                    f"several workers cannot share {one}",
                    hint="give a port, or say --workers 1",
                )
