"""Asks a running server how it is."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from meshc.delivery.xds.transport.addresses import Address

_LIMIT_S = 5.0
_MAX_ANSWER = 64 * 1024 * 1024


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask_status(address: Address) -> dict[str, Any]:
    """Ask a running server how it is.

    Raises:
        DeliveryError: none runs there, or it says something else.
    """
    connection: http.client.HTTPConnection
    if address.port is None:
        connection = _UnixConnection(address.host)
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=_LIMIT_S)
    try:
        connection.request("GET", "/status")
        found = json.loads(connection.getresponse().read(_MAX_ANSWER))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DeliveryError(
            f"no server answers at {address}: {getattr(error, 'strerror', None) or error}",
            hint="is meshc serve running, with the same --control?",
        ) from error
    finally:
        connection.close()
    return dict(found)
