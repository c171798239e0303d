"""Requests through the mesh: single ones to look at, and a steady loop that counts failures."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from meshc.demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.demo.mesh import Address

_PATIENCE_S = 5.0
_PACE_S = 0.004
_KEPT_REASONS = 5
_ANSWER = re.compile(r"app answers from (\S+), store from (\S+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What front said, and which host of ``app`` and of ``store`` it had asked."""

    text: str
    app: str
    store: str


def ask(connection: http.client.HTTPConnection) -> Answer:
    """Ask front once; anything but a complete answer is an OSError or an HTTPException."""
    connection.request("GET", "/")
    response = connection.getresponse()
    text = response.read().decode(errors="replace").strip()
    found = _ANSWER.search(text)
    if response.status != http.client.OK or found is None:
        raise http.client.HTTPException(f"{response.status} {text}")
    return Answer(text, *found.groups())


def ask_once(address: Address) -> Answer:
    """Ask front on a connection of its own; raises DemoError where there is no good answer."""
    connection = http.client.HTTPConnection(*address, timeout=_PATIENCE_S)
    try:
        return ask(connection)
    except (OSError, http.client.HTTPException) as error:
        raise DemoError(f"a request to front failed: {_reason(error)}") from error
    finally:
        connection.close()


def ask_store(address: Address) -> str:
    """Speak the store's own protocol with it."""
    try:
        with (
            socket.create_connection(address, timeout=_PATIENCE_S) as connection,
            connection.makefile("rw", encoding="utf-8", newline="\n") as stream,
        ):
            stream.write("count\n")
            stream.flush()
            return stream.readline().strip()
    except OSError as error:
        raise DemoError(f"a call to the store failed: {_reason(error)}") from error


class SteadyTraffic:
    """Two loops until the end: one keeps its connection, one opens a new one each time."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._stop = threading.Event()
        self._moved = threading.Condition()
        self.kept = 0
        self.opened = 0
        self.failed = 0
        self.reasons: Counter[str] = Counter()
        self.by_app: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._keep, name="keep-alive", daemon=True),
            threading.Thread(target=self._open, name="new connections", daemon=True),
        ]

    @property
    def total(self) -> int:
        """Requests so far, answered or failed."""
        return self.kept + self.opened

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def await_more(self, requests: int, check: Callable[[], None]) -> Counter[str]:
        """Wait for some more requests on each loop; returns which hosts answered meanwhile."""
        with self._moved:
            kept, opened, before = self.kept, self.opened, Counter(self.by_app)
            limit = time.monotonic() + requests * _PATIENCE_S
            while min(self.kept - kept, self.opened - opened) < requests:
                self._moved.wait(_PATIENCE_S)
                check()
                if time.monotonic() > limit:
                    raise DemoError("the steady requests have come to a halt")
            return self.by_app - before

    def _keep(self) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=_PATIENCE_S)
        while not self._stop.wait(_PACE_S):
            answer = self._ask(connection)
            with self._moved:
                self.kept += 1
                self._count(answer)
        connection.close()

    def _open(self) -> None:
        while not self._stop.wait(_PACE_S):
            connection = http.client.HTTPConnection(*self._address, timeout=_PATIENCE_S)
            answer = self._ask(connection)
            connection.close()
            with self._moved:
                self.opened += 1
                self._count(answer)

    def _ask(self, connection: http.client.HTTPConnection) -> Answer | str:
        try:
            return ask(connection)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return _reason(error)

    def _count(self, answer: Answer | str) -> None:
        if isinstance(answer, Answer):
            self.by_app[answer.app] += 1
        else:
            self.failed += 1
            if answer in self.reasons or len(self.reasons) < _KEPT_REASONS:
                self.reasons[answer] += 1
        self._moved.notify_all()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
