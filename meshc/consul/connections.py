"""Connections that keep a deadline for the whole exchange and that another thread can cut.

A timeout of a socket counts from one byte to the next: an answer of one byte a second would take
for ever.  Here every reception and every transmission gets only the time that is left.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
import weakref
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Exchange(threading.local):
    """What the exchange that this thread is in may cost; ``is_fresh`` if it made a connection."""

    deadline = math.inf
    is_fresh = False


class OpenSockets:
    """All sockets of a transport, so that they can be cut at once."""

    def __init__(self) -> None:
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self.is_closed = False

    def add(self, one: socket.socket) -> None:
        """Take a socket in; after the end it is cut at once."""
        with self._lock:
            self._sockets.add(one)
            is_closed = self.is_closed
        if is_closed:
            _cut(one)

    def cut(self) -> None:
        """End every exchange, in whatever thread it waits."""
        with self._lock:
            self.is_closed = True
            sockets = list(self._sockets)
        for one in sockets:
            _cut(one)


def _cut(one: socket.socket) -> None:
    try:
        # Of the class, because that of a TLS socket also drops what the waiting thread uses.
        socket.socket.shutdown(one, socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself


class _Bounded(socket.socket):
    """A socket whose every move ends at the deadline of the exchange."""

    exchange: Exchange | None = None

    def _limit(self) -> None:
        if self.exchange is not None:
            left = self.exchange.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the time for the exchange is over")
            self.settimeout(left if left < math.inf else None)

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        self._limit()
        return super().recv_into(*arguments, **named)

    def send(self, *arguments: Any, **named: Any) -> int:
        self._limit()
        return super().send(*arguments, **named)

    def sendall(self, *arguments: Any, **named: Any) -> None:
        self._limit()
        super().sendall(*arguments, **named)


class _BoundedTls(ssl.SSLSocket, _Bounded):
    """The same with TLS."""

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        self._limit()
        return ssl.SSLSocket.recv_into(self, *arguments, **named)

    def send(self, *arguments: Any, **named: Any) -> int:
        self._limit()
        return ssl.SSLSocket.send(self, *arguments, **named)

    def sendall(self, *arguments: Any, **named: Any) -> None:
        ssl.SSLSocket.sendall(self, *arguments, **named)  # by means of `send`


class _Plain(HTTPConnection):
    def __init__(
        self, *arguments: Any, exchange: Exchange, sockets: OpenSockets, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._exchange = exchange
        self._sockets = sockets

    def connect(self) -> None:
        self._exchange.is_fresh = True
        super().connect()
        given = self.sock
        bounded = _Bounded(given.family, given.type, given.proto, fileno=given.detach())
        bounded.exchange = self._exchange
        self.sock = bounded
        self._sockets.add(bounded)


class _Tls(HTTPSConnection):
    def __init__(
        self, *arguments: Any, exchange: Exchange, sockets: OpenSockets, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._exchange = exchange
        self._sockets = sockets

    def connect(self) -> None:
        self._exchange.is_fresh = True
        super().connect()
        if isinstance(self.sock, _BoundedTls):
            self.sock.exchange = self._exchange
            self._sockets.add(self.sock)


class PlainPool(HTTPConnectionPool):
    """Connections without TLS."""

    ConnectionCls = _Plain


class TlsPool(HTTPSConnectionPool):
    """Connections with TLS."""

    ConnectionCls = _Tls


def tls_context(
    *, ca_file: str | None, cert_file: str | None, key_file: str | None
) -> ssl.SSLContext:
    """Return how to prove and to check who is who; the host's name is always checked.

    Raises:
        OSError: a file cannot be read, or holds no certificate or key.
    """
    context = ssl.create_default_context(cafile=ca_file)
    if cert_file is not None:
        context.load_cert_chain(cert_file, key_file)
    context.sslsocket_class = _BoundedTls
    return context
