"""Sockets that listen, for streams, for polls and for whoever asks how the server is."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from meshc.delivery.xds.transport.addresses import Address

_BACKLOG = 4096
_SOCKET_MODE = 0o660
_PROBE_S = 1.0


def listening(address: Address, *, is_shared: bool) -> socket.socket:
    """Return a socket that listens; several servers on one shared port share its connections.

    Raises:
        DeliveryError: the address cannot be had.
    """
    with contextlib.ExitStack() as on_failure:
        try:
            found = _bound(address, on_failure, is_shared=is_shared)
            found.listen(_BACKLOG)
        except OSError as error:
            raise DeliveryError(
                f"cannot listen on {address}: {error.strerror or error}",
                hint=_hint(address),
            ) from error
        on_failure.pop_all()
    found.setblocking(False)  # noqa: FBT003, its signature
    return found


def _bound(address: Address, on_failure: contextlib.ExitStack, *, is_shared: bool) -> socket.socket:
    if address.port is None:
        found = on_failure.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        _remove_what_is_left(address.host)
        found.bind(address.host)
        os.chmod(address.host, _SOCKET_MODE)  # noqa: PTH101, the same path
        return found
    family, *_, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    found = on_failure.enter_context(socket.socket(family, socket.SOCK_STREAM))
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(where)
    return found


def _remove_what_is_left(path: str) -> None:
    """Remove the socket of a server that has ended; that of one that lives stays."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108, no other server is there
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _hint(address: Address) -> str:
    if address.port is None:
        return "is another server there, and does its folder exist, for this user to write?"
    return "is another server there, or is the address not of this host?"
