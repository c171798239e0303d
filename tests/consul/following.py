"""Somebody who follows a key, and what they heard."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from meshc.consul.kv import KvEntry
from meshc.consul.watch import Heard, Missed, follow

if TYPE_CHECKING:
    from meshc.consul.client import ConsulClient
    from meshc.consul.errors import ConsulError
    from meshc.consul.reading import Reply

Event = Heard[KvEntry | None] | Missed


class Follower:
    """Follows a key in a thread, with pauses of almost nothing, and keeps what it heard."""

    def __init__(self, client: ConsulClient, *, wait: float = 10.0, chance: float = 0.0) -> None:
        self.events: list[Event] = []
        self._client = client
        self._wait = wait
        self._chance = chance
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def values(self) -> list[bytes | None]:
        heard = [one for one in self.events if isinstance(one, Heard) and one.is_new]
        return [None if one.reply.value is None else one.reply.value.value for one in heard]

    def errors(self) -> list[ConsulError]:
        return [one.error for one in self.events if isinstance(one, Missed)]

    def _run(self) -> None:
        def ask(index: int, wait: float) -> Reply[KvEntry | None]:
            return self._client.kv_get("key", index=index, wait=wait)

        for event in follow(self._client, ask, wait=self._wait, chance=lambda: self._chance):
            self.events.append(event)
