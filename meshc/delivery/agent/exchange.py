"""One HTTP request over a socket, under a deadline, a limit of size and a least speed.

`http.client` would do, but it brings `email` and `ssl` along: 4 MiB in a process whose target is
22, on hosts where nobody uses TLS.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_LINE = 8 * 1024
_MAX_HEADERS = 100
_PIECE = 64 * 1024
_GRACE_S = 2.0
"""For so long nobody is told to be slow: the first bytes may have a long way."""
_WITHOUT_BODY = (204, 304)
_MAX_DIGITS = 15
_MAX_INTERIM = 8


class Stream(Protocol):
    """A connected socket, plain or with TLS."""

    def settimeout(self, value: float | None, /) -> None:
        """Set how long the next call may take."""

    def recv(self, size: int, /) -> bytes:
        """Return what has come in."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""

    def close(self) -> None:
        """Close the connection."""


class BadReplyError(Exception):
    """What answers does not speak HTTP, or says more than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a reply may cost.

    ``deadline`` is a moment of the monotonic clock for the whole exchange; ``least_rate`` is in
    bytes a second, counted after the first two seconds.
    """

    deadline: float
    max_body: int
    least_rate: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete reply; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def connect(host: str, port: int, limits: Limits) -> socket.socket:
    """Open a connection; without a port ``host`` is the path of a Unix socket."""
    left = max(limits.deadline - time.monotonic(), 0.001)
    family = _family(host) if port else socket.AF_UNIX
    if family is None:
        return socket.create_connection((host, port), timeout=left)
    stream = socket.socket(family, socket.SOCK_STREAM)
    try:
        stream.settimeout(left)
        stream.connect((host, port) if port else host)
    except OSError:
        stream.close()
        raise
    return stream


def _family(host: str) -> socket.AddressFamily | None:
    """Return the family of an IP address; None for a name, which costs a resolver and its codec."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return family
    return None


def ask(
    stream: Stream,
    target: str,
    *,
    host: str,
    limits: Limits,
    headers: Mapping[str, str],
    method: str = "GET",
) -> Reply:
    """Send a request without a body and read the reply; the connection is of no use afterwards.

    Raises:
        BadReplyError: what comes back is no HTTP, or too much.
        OSError: the connection ends, or time is up.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join([*lines, "", ""])
    if not text.isascii() or len(text.split("\r\n")) != len(lines) + 2:
        raise BadReplyError("a request may hold plain text only")
    stream.settimeout(max(limits.deadline - time.monotonic(), 0.001))
    stream.sendall(text.encode())
    reader = _Reader(stream, limits)
    status = _status(reader.line())
    for _ in range(_MAX_INTERIM):
        if not 100 <= status < 200:  # noqa: PLR2004, interim replies
            break
        reader.headers()
        status = _status(reader.line())
    found = reader.headers()
    return Reply(status=status, headers=found, body=reader.body(status, found))


def _status(line: str) -> int:
    parts = line.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1."):  # noqa: PLR2004
        raise BadReplyError("no HTTP")
    return _number(parts[1], "no HTTP")


def _number(text: str, problem: str) -> int:
    """Read a number; Python itself refuses thousands of digits with an error of another kind."""
    if not text.isdecimal() or len(text) > _MAX_DIGITS:
        raise BadReplyError(problem)
    return int(text)


@dataclass(slots=True)
class _Reader:
    stream: Stream
    limits: Limits
    waiting: bytes = b""
    total: int = 0
    started: float = field(default_factory=time.monotonic)

    def more(self) -> bool:
        """Take in what has come; False at the end."""
        now = time.monotonic()
        left = self.limits.deadline - now
        if left <= 0:
            raise TimeoutError("no complete answer in time")
        spent = now - self.started
        if spent > _GRACE_S and self.total < self.limits.least_rate * (spent - _GRACE_S):
            raise TimeoutError(f"slower than {self.limits.least_rate:.0f} bytes a second")
        rated = bool(self.limits.least_rate)
        self.stream.settimeout(min(left, _GRACE_S) if rated else left)
        try:
            piece = self.stream.recv(_PIECE)
        except TimeoutError:
            if rated and left > _GRACE_S:
                return True  # judged by its speed in the next round
            raise TimeoutError("no complete answer in time") from None
        self.waiting += piece
        self.total += len(piece)
        return bool(piece)

    def line(self) -> str:
        while (end := self.waiting.find(b"\n")) < 0:
            if len(self.waiting) > _MAX_LINE:
                raise BadReplyError("a line without end")
            if not self.more():
                raise ConnectionResetError("the connection was closed")
        line, self.waiting = self.waiting[:end], self.waiting[end + 1 :]
        return line.decode("latin-1").strip()

    def headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for _ in range(_MAX_HEADERS):
            line = self.line()
            if not line:
                return found
            name, _, value = line.partition(":")
            found[name.strip().lower()] = value.strip()
        raise BadReplyError("too many headers")

    def body(self, status: int, headers: Mapping[str, str]) -> bytes:
        if status in _WITHOUT_BODY:
            return b""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunks()
        length = headers.get("content-length")
        if length is None:
            return self._rest()
        count = _number(length, "a length that is no number")
        self._check(count)
        return self._exactly(count)

    def _rest(self) -> bytes:
        parts = [self.waiting]
        size = len(self.waiting)
        self._check(size)
        while True:
            self.waiting = b""
            if not self.more():
                return b"".join(parts)
            parts.append(self.waiting)
            size += len(self.waiting)
            self._check(size)

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            text = self.line().partition(";")[0].strip()
            try:
                count = int(text, 16)
            except ValueError as error:
                raise BadReplyError("a piece without a length") from error
            if count < 0:
                raise BadReplyError("a piece of negative length")
            if not count:
                self.headers()
                return b"".join(parts)
            size += count
            self._check(size)
            parts.append(self._exactly(count))
            self.line()

    def _exactly(self, count: int) -> bytes:
        parts = [self.waiting]
        have = len(self.waiting)
        while have < count:
            self.waiting = b""
            if not self.more():
                raise ConnectionResetError("the answer was cut off")
            parts.append(self.waiting)
            have += len(self.waiting)
        data = b"".join(parts)
        self.waiting = data[count:]
        return data[:count]

    def _check(self, size: int) -> None:
        if size > self.limits.max_body:
            raise BadReplyError("it says too much")
