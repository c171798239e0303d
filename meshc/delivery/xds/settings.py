"""What `meshc serve` is told."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from meshc.delivery.xds.transport.addresses import UNIX, Address
from meshc.delivery.xds.transport.limits import Limits
from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from meshc.consul.settings import ConsulSettings
    from meshc.delivery.xds.transport.tls import TlsFiles

_OF_THE_SERVICE = Path("/run/meshc")
_SOCKET = "serve.sock"


def control_to_serve() -> str:
    """Where a server says how it is, when it is not told: for the service, or for this user.

    Raises:
        SettingsError: there is no folder for that.
    """
    if os.access(_OF_THE_SERVICE, os.W_OK):
        return f"{UNIX}{_OF_THE_SERVICE / _SOCKET}"
    hint = "say --control unix:/PATH, or --control none"
    own = _own_folder()
    if own is None:
        raise SettingsError(
            "no folder for the socket that tells the status: this user has no home", hint=hint
        )
    try:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"no folder for the socket that tells the status: {own}: {error.strerror}", hint=hint
        ) from error
    return f"{UNIX}{own / _SOCKET}"


def control_to_ask() -> str:
    """Where such a server is asked: this user's before the service."""
    folder = _own_folder()
    if folder is None or not (folder / _SOCKET).exists():
        folder = _OF_THE_SERVICE
    return f"{UNIX}{folder / _SOCKET}"


def _own_folder() -> Path | None:
    of_the_login = os.environ.get("XDG_RUNTIME_DIR")
    if of_the_login:
        return Path(of_the_login) / "meshc"
    try:
        return Path.home() / ".cache/meshc/run"
    except RuntimeError:  # as in many containers
        return None


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
