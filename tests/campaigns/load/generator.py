"""Requests without pause on kept and on new connections, from a process that knows every failure.

Every client has one request under way at any time.  A request has failed unless its answer is
whole, has status 200, and comes from a server that may answer here.  An announced close of a kept
connection is no failure; a connection that is refused, or closed while an answer is due, is one.
"""

from __future__ import annotations

import errno
import multiprocessing
import select
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.connection import Connection

Kind = Literal["kept", "new", "slow"]

_HEAD = b"GET %s HTTP/1.1\r\nhost: mesh\r\n%s\r\n"
_REQUESTS: dict[Kind, bytes] = {
    "kept": _HEAD % (b"/", b""),
    "new": _HEAD % (b"/", b"connection: close\r\n"),
    "slow": _HEAD % (b"/slow", b""),
}
_LIMIT_S = 15.0
_MOST_TOLD = 50
_PAUSE_S = 0.005
_LATE_S = 0.1
_ANSWER_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address, who may answer there, and how many clients of each kind ask."""

    name: str
    address: tuple[str, int]
    answers: frozenset[str]
    kept: int = 0
    new: int = 0
    slow: int = 0


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the clients have seen since the start; ``told`` are the first failures in words."""

    done: Counter[str] = field(default_factory=Counter)
    by_target: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    told: list[str] = field(default_factory=list)
    announced: int = 0
    """Kept connections that Envoy closed after saying so, as it does when it drains."""
    closed_idle: int = 0

    @property
    def total(self) -> int:
        """Requests that were answered as they should."""
        return self.done.total()


class LoadProcess:
    """The driver's side: a process with clients, until the block ends."""

    def __init__(self, rate: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(theirs, rate), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self._pipe.send(("end", None))
            self._process.join(5)
        except OSError:
            pass
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def ask_only(self, targets: Iterable[Target]) -> None:
        """Ask these and nobody else; returns when the last request to others was answered."""
        self._say(("targets", tuple(targets)))

    def tally(self) -> Tally:
        """Return what was seen so far."""
        found = self._say(("tally", None))
        assert isinstance(found, Tally)
        return found

    def reach(self, total: int) -> Tally:
        """Wait until so many requests have been answered."""
        end = time.monotonic() + _ANSWER_LIMIT_S
        while (tally := self.tally()).total < total:
            if time.monotonic() > end:
                raise TimeoutError(f"{total} requests were not reached: {tally}")
            time.sleep(0.02)
        return tally

    def _say(self, message: tuple[str, Any]) -> object:
        self._pipe.send(message)
        if not self._pipe.poll(_ANSWER_LIMIT_S):
            raise TimeoutError(f"the load does not answer to {message[0]!r}")
        return self._pipe.recv()


def _main(pipe: Connection, rate: float) -> None:
    _Generator(pipe, rate).run()


class _Client:
    """One connection at a time, one request at a time."""

    __slots__ = ("_buffer", "_load", "_request", "_sent_at", "is_ending", "kind", "sock", "target")

    def __init__(self, load: _Generator, target: Target, kind: Kind) -> None:
        self._load = load
        self.target = target
        self.kind: Kind = kind
        self._request = _REQUESTS[kind]
        self._buffer = b""
        self._sent_at = 0.0
        self.is_ending = False
        self.open()

    def open(self) -> None:
        """Begin a connection; the request follows as soon as it is there."""
        self._buffer = b""
        self._sent_at = time.monotonic()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._load.add(self)
        code = self.sock.connect_ex(self.target.address)
        if code not in {0, errno.EINPROGRESS}:
            self._fail(f"cannot connect: {errno.errorcode[code]}")

    def close(self) -> None:
        """End the connection."""
        self._load.forget(self)
        self.sock.close()

    def on_event(self, mask: int) -> None:
        """Go on with what has become possible."""
        if mask & select.EPOLLOUT:
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._fail(f"cannot connect: {errno.errorcode[code]}")
                return
            self._load.await_answer(self)
            self._send()
            return
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(f"no whole answer: {error.strerror}")
            return
        if not data:
            self._fail(f"closed after {len(self._buffer)} bytes of an answer")
            return
        self._buffer += data
        self._read()

    def check_time(self, now: float) -> None:
        """Give up what takes too long."""
        if now - self._sent_at > _LIMIT_S:
            self._fail(f"no answer in {_LIMIT_S:.0f} s")

    def _send(self) -> None:
        self._sent_at = time.monotonic()
        try:
            self.sock.send(self._request)
        except OSError as error:
            self._fail(f"cannot send: {error.strerror}")

    def _read(self) -> None:
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        status, *lines = head.lower().split(b"\r\n")
        fields = {name: value.strip() for name, _, value in (it.partition(b":") for it in lines)}
        if len(body) < int(fields.get(b"content-length", b"0")):
            return
        self._buffer = b""
        said = body.decode()
        if not status.startswith(b"http/1.1 200") or said not in self.target.answers:
            self._fail(f"{status.decode()}: {said!r}")
            return
        tally = self._load.tally
        tally.done[self.kind] += 1
        tally.by_target[self.target.name] += 1
        self._next(is_closing=fields.get(b"connection") == b"close")

    def _next(self, *, is_closing: bool) -> None:
        if self.is_ending:
            self._load.end(self)
            return
        if is_closing:
            self._load.tally.announced += self.kind != "new"
            self.close()
            self.open()
            return
        if time.monotonic() - self._sent_at > _LATE_S and self._was_closed():
            # Whoever holds a connection without using it must look before using it again.
            self._load.tally.closed_idle += 1
            self.close()
            self.open()
            return
        self._send()

    def _was_closed(self) -> bool:
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _fail(self, why: str) -> None:
        tally = self._load.tally
        tally.failed += 1
        if len(tally.told) < _MOST_TOLD:
            tally.told.append(f"{time.time():.3f} {self.kind} to {self.target.name}: {why}")
        if self.is_ending:
            self._load.end(self)
            return
        self.close()
        self._load.retry(self)


class _Generator:
    """All clients, and the pipe to the driver, in one loop."""

    def __init__(self, pipe: Connection, rate: float) -> None:
        self.tally = Tally()
        self._pipe = pipe
        self._rate = rate
        self._poll = select.epoll()
        self._poll.register(pipe.fileno(), select.EPOLLIN)
        self._clients: set[_Client] = set()
        self._by_number: dict[int, _Client] = {}
        self._targets: dict[str, Target] = {}
        self._failed: list[_Client] = []
        self._is_over = False
        self._owes_answer = False

    def run(self) -> None:
        """Run until told to end, or until the driver is gone."""
        checked_at = paid_until = time.monotonic()
        while not self._is_over:
            before = self.tally.total
            for number, mask in self._poll.poll(0.05):
                if number == self._pipe.fileno():
                    self._listen()
                elif (client := self._by_number.get(number)) is not None:
                    client.on_event(mask)
            now = time.monotonic()
            if now - checked_at > 1:
                checked_at = now
                for client in tuple(self._by_number.values()):
                    client.check_time(now)
            failed, self._failed = self._failed, []
            for client in failed:
                client.open()
            # Not faster than the rate; what was missed is not caught up with.
            paid_until = max(paid_until, now - 0.05) + (self.tally.total - before) / self._rate
            if failed or paid_until > now:
                time.sleep(min(_PAUSE_S, max(paid_until - now, _PAUSE_S * bool(failed))))
        for client in tuple(self._by_number.values()):
            client.close()

    def add(self, client: _Client) -> None:
        number = client.sock.fileno()
        self._by_number[number] = client
        self._poll.register(number, select.EPOLLOUT)

    def await_answer(self, client: _Client) -> None:
        self._poll.modify(client.sock.fileno(), select.EPOLLIN)

    def forget(self, client: _Client) -> None:
        number = client.sock.fileno()
        if number >= 0 and self._by_number.pop(number, None) is not None:
            self._poll.unregister(number)

    def retry(self, client: _Client) -> None:
        """Go on after a failure, in the next round."""
        self._failed.append(client)

    def end(self, client: _Client) -> None:
        """Part with a client whose target is no longer asked."""
        client.close()
        self._clients.discard(client)
        self._answer_if_settled()

    def _listen(self) -> None:
        try:
            word, given = self._pipe.recv()
        except EOFError:
            self._is_over = True
            return
        if word == "end":
            self._is_over = True
        elif word == "tally":
            self._pipe.send(self.tally)
        else:
            self._owes_answer = True
            self._ask_only({target.name: target for target in given})
            self._answer_if_settled()

    def _ask_only(self, targets: dict[str, Target]) -> None:
        for client in tuple(self._clients):
            if targets.get(client.target.name) == client.target:
                continue
            if client in self._failed:
                self._failed.remove(client)
                self._clients.discard(client)
            else:
                client.is_ending = True
        for name, target in targets.items():
            if self._targets.get(name) != target:
                kinds: dict[Kind, int] = {
                    "kept": target.kept,
                    "new": target.new,
                    "slow": target.slow,
                }
                for kind, count in kinds.items():
                    self._clients.update(_Client(self, target, kind) for _ in range(count))
        self._targets = targets

    def _answer_if_settled(self) -> None:
        if self._owes_answer and not any(client.is_ending for client in self._clients):
            self._owes_answer = False
            self._pipe.send("settled")
