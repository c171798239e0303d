"""A lock in Consul: one holder at a time, gone by itself when its holder dies.

A lock alone protects nothing: its holder may sleep, lose it, and write on.  What is written
under it goes in transactions that begin with `HeldLock.fence`, and then Consul itself refuses
the writes of who holds it no more.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from meshc.consul.errors import ConsulConflictError, ConsulError
from meshc.consul.kv import KvOperation
from meshc.consul.reading import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.consul.client import ConsulClient
    from meshc.consul.kv import KvEntry

_TTL_S = 15
"""Consul takes 10 and more, and may end a session only after twice as long."""
_LOCK_DELAY_S = 5
"""How long nobody gets the lock of a holder that died, for what it had still on the way."""
_LOOK_S = 5.0
_RETRY_S = 0.5


class HeldLock:
    """A lock that is held, as far as is known."""

    def __init__(self, client: ConsulClient, key: str, session: str, ttl: int) -> None:
        self._client = client
        self._key = key
        self._session = session
        self._ttl = ttl
        self._is_lost = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="consul-lock", daemon=True)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        """Whether somebody else may hold it by now."""
        return self._is_lost.is_set()

    def check(self) -> None:
        """Pass as long as the lock is not known to be lost.

        Raises:
            ConsulConflictError: it is.
        """
        if self.is_lost:
            raise ConsulConflictError(
                f'the lock "{self._key}" was lost: its session in Consul has ended',
                hint="run it again; nothing that was begun is left half done",
            )

    def fence(self) -> KvOperation:
        """Return the first operation of every transaction under this lock."""
        return KvOperation(verb="check-session", key=self._key, session=self._session)

    def give_back(self) -> None:
        """Stop renewing, and free the lock at once."""
        self._end.set()
        self._thread.join()
        # Given back before the session ends: who loses a lock by the end of its session leaves
        # it closed for the lock delay.
        with suppress(ConsulError):
            self._client.release(self._key, self._session)
            self._client.session_destroy(self._session)

    def _renew(self) -> None:
        alive = time.monotonic()
        while not self._end.wait(self._ttl / 3):
            try:
                if not self._client.session_renew(self._session):
                    break
                alive = time.monotonic()
            except ConsulError:
                if time.monotonic() - alive > self._ttl:
                    break
        else:
            return
        self._is_lost.set()


@contextmanager
def hold_lock(
    client: ConsulClient, key: str, *, purpose: str, patience: float = 30.0, ttl: int = _TTL_S
) -> Iterator[HeldLock]:
    """Hold the lock ``key``; wait for it up to ``patience`` seconds.

    ``purpose`` tells others who holds it.

    Raises:
        ConsulConflictError: somebody else holds it for longer than that.
        ConsulError: Consul does not answer, or denies it.
    """
    session = client.session_create(purpose, ttl=ttl, lock_delay=_LOCK_DELAY_S)
    held = HeldLock(client, key, session, ttl)
    try:
        _acquire(client, key, session, holder=_holder(purpose), patience=patience)
        yield held
    finally:
        held.give_back()


def _acquire(
    client: ConsulClient, key: str, session: str, *, holder: bytes, patience: float
) -> None:
    limit = time.monotonic() + patience
    while not client.acquire(key, session, holder):
        found = client.kv_get(key, consistency="consistent")
        left = limit - time.monotonic()
        if left <= 0:
            raise ConsulConflictError(
                f'the lock "{key}" is held by somebody else: {_described(found.value)}',
                hint="wait until it is done; if it died, its lock is free within a minute",
            )
        if found.value is not None and found.value.session:
            client.kv_get(key, index=found.index, wait=min(left, _LOOK_S))
        else:
            # Free, and still within the lock delay after a holder that died.
            client.rest(min(left, _RETRY_S))


def _holder(purpose: str) -> bytes:
    holder = {"purpose": purpose, "host": socket.gethostname(), "process": os.getpid()}
    return json.dumps(holder, sort_keys=True).encode()


def _described(entry: KvEntry | None) -> str:
    if entry is None or not entry.value:
        return "unknown"
    try:
        holder = json.loads(entry.value)
        purpose, host, process = (str(holder[one]) for one in ("purpose", "host", "process"))
    except (ValueError, TypeError, KeyError):
        return quoted(entry.value)
    return quoted(f"{purpose} on {host}, process {process}".encode())
