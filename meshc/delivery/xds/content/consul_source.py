"""A publication in Consul's KV as the source: the index is watched, and the rest read on demand.

Consul is trusted to be there now and then, and for nothing else: while it is not, or says
something damaged or older, what is served stays.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.artifact.publication import INDEX
from meshc.artifact.published import blob_key, mesh_key, pointer_key
from meshc.consul.address import parse_consul_url
from meshc.consul.client import ConsulClient
from meshc.consul.errors import ConsulDeniedError, ConsulError
from meshc.consul.watch import Heard, follow
from meshc.delivery.xds.content.published import newer
from meshc.diagnostics.errors import BundleError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.consul.kv import KvEntry
    from meshc.consul.reading import Reply
    from meshc.consul.settings import ConsulSettings
    from meshc.delivery.xds.content.bundles import NodeBundles
    from meshc.delivery.xds.content.library import Library
    from meshc.delivery.xds.content.published import PublishedBundles

_MAX_BODY = 2 * 1024 * 1024
"""A value of 512 KiB is a third larger in Consul's answers."""
_JOIN_S = 1.0


@dataclass(frozen=True, slots=True)
class _Said:
    """What Consul has said of the index: its value, none, or why it said nothing."""

    value: bytes | None = None
    problem: ConsulError | None = None


class ConsulSource:
    """A source in Consul."""

    def __init__(self, address: str, settings: ConsulSettings, library: Library) -> None:
        self._mesh = parse_consul_url(address).mesh
        self._key = mesh_key(self._mesh, INDEX)
        self._library = library
        self._client = ConsulClient(settings, max_body=_MAX_BODY, user_agent="meshc-serve")
        self._heard: _Said | None = None
        self._thread: threading.Thread | None = None

    def load(self, previous: NodeBundles | None) -> PublishedBundles | None:
        """Return the newest complete publication, None where it is the one before."""
        said = self._heard
        if said is None:
            return self._newer(self._now(), previous)
        if said.problem is not None:
            raise said.problem
        try:
            return self._newer(said.value, previous)
        except BundleError:
            # It may be a server that lags behind.
            return self._newer(self._now(), previous)

    def _newer(self, data: bytes | None, previous: NodeBundles | None) -> PublishedBundles | None:
        return newer(data, self._mesh, self, self._library, previous)

    def _now(self) -> bytes | None:
        entry = self._client.kv_get(self._key, consistency="consistent").value
        return None if entry is None else entry.value

    def forget(self) -> None:
        """What was heard last is looked at again at every load."""

    def watch(self, notify: Callable[[], None]) -> None:
        """Wait for changes of the index, on a thread of its own, as long as the server runs."""
        self._thread = threading.Thread(
            target=self._follow, args=(notify,), name="consul-watch", daemon=True
        )
        self._thread.start()

    def _follow(self, notify: Callable[[], None]) -> None:
        try:
            for one in follow(self._client, self._ask):
                before = self._heard
                if isinstance(one, Heard):
                    entry = one.reply.value
                    self._heard = _Said(None if entry is None else entry.value)
                else:
                    self._heard = _Said(problem=one.error)
                if self._heard != before:
                    notify()
        finally:
            self._heard = None  # whatever has ended the watch, every load asks from now on

    def _ask(self, index: int, wait: float) -> Reply[KvEntry | None]:
        try:
            return self._client.kv_get(self._key, index=index, wait=wait)
        except SettingsError as error:  # no token is to be had
            raise ConsulDeniedError(error.message, hint=error.hint) from error

    def pointer(self, mesh: str, node: str) -> bytes | None:
        """Return a node's pointer, None where there is none."""
        return self._value(pointer_key(mesh, node))

    def blob(self, mesh: str, digest: str) -> bytes | None:
        """Return a blob, None where there is none."""
        return self._value(blob_key(mesh, digest))

    def _value(self, key: str) -> bytes | None:
        entry = self._client.kv_get(key).value
        return None if entry is None else entry.value

    def close(self) -> None:
        """End the watch, whatever it waits for."""
        self._client.close()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
