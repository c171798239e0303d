"""Thousands of clients of the xDS protocol in one process, each with a connection of its own.

python -m benchmarks.streams COUNT NAME PORT[:CERTIFICATES]...

Written on the sockets themselves, so that little of what is measured is the client's own: every
client asks for the endpoints NAME and acknowledges each response with version and nonce.
CERTIFICATES is FOLDER,COUNT: of the first so many nodes there are certificates.
Commands come as lines on standard input; every answer is a line of JSON:
``connect PLACE`` opens all streams at once, ``await PLACE`` waits until each of them has had one
more response.
"""

from __future__ import annotations

import errno
import json
import selectors
import socket
import ssl
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPE = b"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_PATH = b"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_HEADERS, _ACK = 4, 1
_LARGEST = 2**31 - 1
_FIRST_WINDOW = 65_535
_READ = 256 * 1024
_LIMIT_S = 120.0
_A_SECOND = 10
"""Streams for each address that they come from; a host has one Envoy and not thousands."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return an HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _field(name: bytes, value: bytes) -> bytes:
    """Return a header as a literal that is not indexed, so that no table is needed."""
    return b"\0" + _text(name) + _text(value)


def _text(value: bytes) -> bytes:
    length = len(value)
    if length < 127:
        return bytes([length]) + value
    return b"\x7f" + bytes([length - 127]) + value


_OPENING = (
    _PREFACE
    + frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, _LARGEST))
    + frame(_WINDOW, 0, 0, struct.pack(">I", _LARGEST - _FIRST_WINDOW))
    + frame(
        _HEADERS,
        _END_HEADERS,
        1,
        b"".join(
            _field(name, value)
            for name, value in (
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", _PATH),
                (b":authority", b"bench"),
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc"),
            )
        ),
    )
)


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def _message(body: bytes) -> bytes:
    return frame(_DATA, 0, 1, struct.pack(">BI", 0, len(body)) + body)


def version_and_nonce(response: bytes) -> tuple[bytes, bytes]:
    """Read two fields of a DiscoveryResponse, and pass over its resources."""
    found = {1: b"", 5: b""}
    at, end = 0, len(response)
    while at < end:
        key, at = _varint(response, at)
        if key & 7 == 0:
            _, at = _varint(response, at)
            continue
        size, at = _varint(response, at)
        if key >> 3 in found:
            found[key >> 3] = response[at : at + size]
        at += size
    return found[1], found[5]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


@dataclass(slots=True)
class Client:
    """One connection with one stream."""

    sock: socket.socket
    node: str
    name: bytes
    is_ready: bool = False
    """Whether the connection stands, TLS included."""
    received: int = 0
    size: int = 0
    is_lost: bool = False
    _frames: bytearray = field(default_factory=bytearray)
    _body: bytearray = field(default_factory=bytearray)

    def start(self) -> None:
        """Ask for the endpoints; the node is named once."""
        node = _bytes(2, _bytes(1, self.node.encode()))
        self.sock.sendall(_OPENING + _message(node + self._wanted()))

    def _wanted(self) -> bytes:
        return _bytes(3, self.name) + _bytes(4, _TYPE)

    def take(self, data: bytes) -> None:
        """Take bytes in; acknowledge every response."""
        frames = self._frames
        frames += data
        at, end = 0, len(frames)
        while end - at >= 9:
            size = int.from_bytes(frames[at : at + 3], "big")
            if end - at - 9 < size:
                break
            kind, flags = frames[at + 3], frames[at + 4]
            payload = bytes(frames[at + 9 : at + 9 + size])
            at += 9 + size
            if kind == _DATA:
                self._body += payload
                self._messages()
            elif kind == _SETTINGS and not flags & _ACK:
                self.sock.sendall(frame(_SETTINGS, _ACK, 0, b""))
            elif kind == _PING and not flags & _ACK:
                self.sock.sendall(frame(_PING, _ACK, 0, payload))
            elif kind in (_RESET, _GOAWAY):
                self.is_lost = True
        del frames[:at]

    def _messages(self) -> None:
        body = self._body
        while len(body) >= 5 and len(body) >= 5 + (size := int.from_bytes(body[1:5], "big")):
            response = bytes(body[5 : 5 + size])
            del body[: 5 + size]
            self.received += 1
            self.size = size
            version, nonce = version_and_nonce(response)
            self.sock.sendall(_message(_bytes(1, version) + self._wanted() + _bytes(5, nonce)))


class Place:
    """All clients of one server."""

    def __init__(self, count: int, name: bytes, port: int, certificates: str) -> None:
        self._port = port
        self._name = name
        self._contexts = _contexts(certificates) if certificates else []
        self._selector = selectors.DefaultSelector()
        self._clients = [self._client(number) for number in range(count)]
        self._rounds = 0

    def _client(self, number: int) -> Client:
        plain = socket.socket()
        # A port is taken for each pair of addresses, so that more streams than ports are possible.
        plain.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        plain.bind((f"127.1.{number // _A_SECOND // 250}.{number // _A_SECOND % 250 + 1}", 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setblocking(False)  # noqa: FBT003, its signature
        return Client(plain, f"front-{number}", self._name)

    def connect(self) -> dict[str, object]:
        """Open all connections at once; wait until every stream has had its first response."""
        started = time.time()
        for client in self._clients:
            code = client.sock.connect_ex(("127.0.0.1", self._port))
            if code not in (0, errno.EINPROGRESS):
                client.is_lost = True
                continue
            self._selector.register(client.sock, selectors.EVENT_WRITE, client)
        return self._wait() | {"started": started}

    def wait(self) -> dict[str, object]:
        """Wait until every stream that is left has had one more response."""
        return self._wait()

    def _wait(self) -> dict[str, object]:
        self._rounds += 1
        limit = time.monotonic() + _LIMIT_S
        left = sum(one.received < self._rounds and not one.is_lost for one in self._clients)
        while left and time.monotonic() < limit:
            for key, events in self._selector.select(1.0):
                client: Client = key.data
                was_waited_for = client.received < self._rounds and not client.is_lost
                self._serve(client, events)
                if was_waited_for and (client.received >= self._rounds or client.is_lost):
                    left -= 1
        ended = time.time()
        self._acknowledged()
        return {
            "ended": ended,
            "streams": len(self._clients),
            "lost": sum(one.is_lost for one in self._clients),
            "late": left,
            "size": max(one.size for one in self._clients),
        }

    def _acknowledged(self) -> None:
        """Give the server the time to read what was acknowledged, before anybody counts."""
        time.sleep(0.2)

    def _serve(self, client: Client, events: int) -> None:
        try:
            if not client.is_ready:
                self._begin(client, events)
                return
            while data := client.sock.recv(_READ):
                client.take(data)
                if isinstance(client.sock, ssl.SSLSocket) or len(data) == _READ:
                    continue
                return
            client.is_lost = True
            self._selector.unregister(client.sock)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            client.is_lost = True
            self._selector.unregister(client.sock)

    def _begin(self, client: Client, events: int) -> None:
        if self._contexts and not isinstance(client.sock, ssl.SSLSocket):
            self._selector.unregister(client.sock)
            number = int(client.node.rpartition("-")[2]) % len(self._contexts)
            client.node = f"front-{number}"
            client.sock = self._contexts[number].wrap_socket(
                client.sock, server_hostname="localhost", do_handshake_on_connect=False
            )
            self._selector.register(client.sock, selectors.EVENT_WRITE, client)
            return
        if isinstance(client.sock, ssl.SSLSocket):
            try:
                client.sock.do_handshake()
            except ssl.SSLWantReadError:
                self._selector.modify(client.sock, selectors.EVENT_READ, client)
                return
            except ssl.SSLWantWriteError:
                self._selector.modify(client.sock, selectors.EVENT_WRITE, client)
                return
        del events
        client.is_ready = True
        client.start()
        self._selector.modify(client.sock, selectors.EVENT_READ, client)


def _contexts(certificates: str) -> list[ssl.SSLContext]:
    """Make a context for each of the nodes that certificates are there for."""
    folder, _, count = certificates.partition(",")
    found = []
    for number in range(int(count)):
        context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
        context.load_cert_chain(f"{folder}/front-{number}.pem", f"{folder}/front-{number}.key")
        context.set_alpn_protocols(["h2"])
        found.append(context)
    return found


def _commands() -> Iterator[list[str]]:
    for line in sys.stdin:
        yield line.split()


def main() -> None:
    """Take commands until standard input ends."""
    count = int(sys.argv[1])
    places = []
    for text in sys.argv[3:]:
        port, _, certificates = text.partition(":")
        places.append(Place(count, sys.argv[2].encode(), int(port), certificates))
    for command, number in _commands():
        place = places[int(number)]
        found = place.connect() if command == "connect" else place.wait()
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
