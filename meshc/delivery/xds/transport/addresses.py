"""Where to listen."""

from __future__ import annotations

from dataclasses import dataclass

from meshc.diagnostics.errors import SettingsError

UNIX = "unix:"
"""Before the path of a socket."""
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
            return f"{UNIX}{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def address(text: str) -> Address:
    """Read ``unix:/path`` or ``host:port``; raises SettingsError."""
    if text.startswith(f"{UNIX}/"):
        return Address(text.removeprefix(UNIX))
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdecimal() and int(port) <= _LAST_PORT):
        raise SettingsError(f'"{text}" is neither unix:/path nor HOST:PORT')
    return Address(host, int(port))
