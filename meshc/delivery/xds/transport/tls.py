"""Certificates of the server and of its clients' authority, read again when their files change."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

_LIBRARY = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files."""

    certificate: Path
    key: Path
    client_ca: Path

    def state(self) -> tuple[object, ...]:
        """Return what changes when one of the files does."""
        return tuple(_identity(path) for path in (self.certificate, self.key, self.client_ca))

    def context(self) -> ssl.SSLContext:
        """Return a context that demands a certificate of every client.

        Raises:
            SettingsError: a file cannot be read, or they do not fit together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        context.verify_mode = ssl.CERT_REQUIRED
        # A session that is resumed would bring the certificate of before, withdrawn or not.
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.num_tickets = 0
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f'cannot use "{self.certificate}" with "{self.key}": {reason_of(error)}',
                hint="both are PEM; the key is that of the first certificate, without a password",
            ) from error
        try:
            context.load_verify_locations(self.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f'cannot use the clients\' authority "{self.client_ca}": {reason_of(error)}'
            ) from error
        return context


def _identity(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def reason_of(error: OSError) -> str:
    """Say why a file cannot be used, or a handshake failed, without where in a library it was."""
    if isinstance(error, ssl.SSLError):
        return _LIBRARY.sub("", str(error))
    return error.strerror or str(error)
