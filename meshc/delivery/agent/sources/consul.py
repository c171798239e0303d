"""A publication in Consul's KV: the node's pointer is watched, and blobs are fetched when it moves.

Consul is trusted to be there now and then, and for nothing else.  While it is not, what was heard
last stays what it was; what is empty, damaged or older than what was heard is no news.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.artifact.published import blob_key, pointer_key
from meshc.consul.address import parse_consul_url
from meshc.consul.client import ConsulClient
from meshc.consul.errors import ConsulDeniedError, ConsulError
from meshc.consul.settings import load_consul_settings
from meshc.consul.watch import Heard, follow
from meshc.delivery.agent.sources import SourceError
from meshc.delivery.agent.sources.published import pointer_from, read_published
from meshc.diagnostics.errors import BundleError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.artifact.published import Pointer
    from meshc.artifact.store import NodeBundle
    from meshc.consul.client import Consistency
    from meshc.consul.kv import KvEntry
    from meshc.consul.reading import Reply
    from meshc.consul.settings import ConsulSettings
    from meshc.delivery.agent.settings import AgentSettings

_MAX_BODY = 2 * 1024 * 1024
"""A value of 512 KiB is a third larger in Consul's answers."""
_WAIT_S = 60.0
"""How long Consul may hold an answer back.  One that has gone without a word is missed after it."""
_LONGEST_PAUSE_S = 55.0
"""So that a minute after Consul is back all hosts have heard what is new."""
_PREFIX = "consul_"
_JOIN_S = 1.0


def consul_settings(settings: AgentSettings, address: str = "") -> ConsulSettings:
    """Return how an agent reaches Consul; ``address`` is above what its settings say."""
    given = {
        name.removeprefix(_PREFIX): getattr(settings, name)
        for name in settings.__dataclass_fields__
        if name.startswith(_PREFIX)
    }
    if address:
        given["address"] = address
    return load_consul_settings(given, os.environ)


@dataclass(frozen=True, slots=True)
class _Said:
    """What Consul has said about the pointer: its value, none, or why it said nothing."""

    value: bytes | None = None
    problem: str = ""
    hint: str | None = None


class ConsulSource:
    """A source in Consul."""

    def __init__(self, settings: AgentSettings, held: Callable[[str], bytes | None]) -> None:
        self.order: int | None = None
        self.unwatched = ""
        place = parse_consul_url(settings.source)
        self._mesh = place.mesh
        self._node = settings.node
        self._max_file = settings.max_file
        self._held = held
        try:
            self._key = pointer_key(place.mesh, settings.node)
        except BundleError as error:
            raise SettingsError(error.message) from error
        self._client = ConsulClient(
            consul_settings(settings, place.address), max_body=_MAX_BODY, user_agent="meshc-agent"
        )
        self._heard: _Said | None = None
        self._used: _Said | None = None
        """What the last fetch went by; None where it came to nothing."""
        self._thread: threading.Thread | None = None

    def watch(self, notify: Callable[[float], None]) -> str:
        """Wait for changes of the pointer, on a thread of its own."""
        self._thread = threading.Thread(
            target=self._follow, args=(notify,), name="consul-watch", daemon=True
        )
        self._thread.start()
        return ""

    def _follow(self, notify: Callable[[float], None]) -> None:
        for one in follow(self._client, self._ask, wait=_WAIT_S, longest_pause=_LONGEST_PAUSE_S):
            if isinstance(one, Heard):
                self._heard = _said(one.reply.value)
                # What a fetch has used already is no news: it would cut a delivery short.
                if self._heard != self._used:
                    notify(time.monotonic())
            else:
                self._heard = _Said(problem=one.error.message, hint=one.error.hint)

    def _ask(self, index: int, wait: float) -> Reply[KvEntry | None]:
        try:
            return self._client.kv_get(self._key, index=index, wait=wait)
        except SettingsError as error:  # no token is to be had
            raise ConsulDeniedError(error.message, hint=error.hint) from error

    def fetch(self, known: str | None) -> NodeBundle | None:
        """Return the newest bundle; costs no request where the watch has heard nothing new."""
        try:
            pointer = self._newest()
            bundle = read_published(
                pointer, known, held=self._held, blob=self._blob, max_file=self._max_file
            )
        except (ConsulError, SettingsError) as error:
            self._used = None
            raise SourceError(error.message, hint=error.hint) from error
        except SourceError:
            self._used = None
            raise
        self.order = pointer.order
        return bundle

    def _newest(self) -> Pointer:
        said = self._used = self._latest()
        if said.problem:
            raise SourceError(said.problem, hint=said.hint)
        pointer = self._pointer(said)
        if self.order is None or pointer.order >= self.order:
            return pointer
        # It may be a server that lags behind.
        said = self._used = self._heard = _said(self._now("consistent"))
        return self._pointer(said)

    def _latest(self) -> _Said:
        is_watching = self._thread is not None and self._thread.is_alive()
        return self._heard if is_watching and self._heard is not None else _said(self._now())

    def _now(self, consistency: Consistency = "default") -> KvEntry | None:
        return self._client.kv_get(self._key, consistency=consistency).value

    def _pointer(self, said: _Said) -> Pointer:
        if said.value is None:
            raise SourceError(
                f'{self._client.where} has no files for node "{self._node}" of mesh "{self._mesh}"',
                hint="look at --node, and at the mesh in --source; is it published (meshc publish "
                "consul), or has the node left the mesh?",
            )
        return pointer_from(said.value, self._node, self._mesh)

    def _blob(self, digest: str) -> bytes:
        entry = self._client.kv_get(blob_key(self._mesh, digest)).value
        if entry is None:
            raise SourceError(
                f"{self._client.where} has no blob {digest}, which the pointer names",
                is_incomplete=True,
                hint="publish again, all of it: meshc publish consul --again",
            )
        return entry.value

    def close(self) -> None:
        """End the watch, whatever it waits for."""
        self._client.close()
        if self._thread is not None:
            self._thread.join(_JOIN_S)


def _said(entry: KvEntry | None) -> _Said:
    return _Said(None if entry is None else entry.value)
