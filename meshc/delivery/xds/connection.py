"""HTTP/2 connections under limits: what comes over one may cost only so much, or it is closed."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Any

from grpclib.config import Configuration
from grpclib.protocol import H2Protocol
from h2.events import PingReceived, RemoteSettingsChanged, RequestReceived, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from meshc.delivery.xds.limits import Allowance, FrameCounter, descriptors

if TYPE_CHECKING:
    from asyncio import BaseTransport, TimerHandle
    from collections.abc import Callable

    from grpclib.server import Handler
    from h2.config import H2Configuration

    from meshc.delivery.xds.limits import Limits

_ANY_STREAM = 2**31 - 1
_MOST_SETTINGS = 64
"""HTTP/2 and its extensions know a dozen; each that a peer makes up is remembered by h2."""
_COSTLY = (RequestReceived, StreamReset, PingReceived, RemoteSettingsChanged)


def configuration(limits: Limits) -> Configuration:
    """Return what grpclib sees to by itself."""
    return Configuration(
        _keepalive_time=limits.ping_every,
        _keepalive_timeout=limits.ping_answer,
        _keepalive_permit_without_calls=True,
        _http2_max_pings_without_data=0,
        _http2_min_sent_ping_interval_without_data=limits.ping_every / 2,
        http2_connection_window_size=2**18,
        http2_stream_window_size=2**17,
    ).__for_server__()


class Connections:
    """All open connections of a server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.most = min(limits.connections, descriptors())
        self.open: set[LimitedProtocol] = set()
        self._of_one: Counter[str] = Counter()
        self.turned_away = 0
        """Connections that were closed because they broke a limit."""

    def take(self, one: LimitedProtocol, address: str) -> str:
        """Take a connection in; say why there is no room for it, "" where there is."""
        self.open.add(one)
        self._of_one[address] += 1
        if len(self.open) > self.most:
            return "too many connections"
        if self._of_one[address] > self.limits.connections_of_one:
            return "too many connections from one address"
        return ""

    def leave(self, one: LimitedProtocol, address: str) -> None:
        """Forget a connection."""
        self.open.discard(one)
        self._of_one[address] -= 1
        if not self._of_one[address]:
            del self._of_one[address]

    def close_expired(self, now: float) -> None:
        """Close the connections whose clients' certificates have come to their end."""
        for one in [one for one in self.open if one.expires_at <= now]:
            one.end("the certificate has expired")

    def close_where(self, is_unwanted: Callable[[Any], bool]) -> int:
        """Close the connections whose peers are not wanted any more; return how many."""
        found = [one for one in self.open if is_unwanted(one.connection.get_peer())]
        for one in found:
            one.end("no longer authorised")
        return len(found)


class _Few(list[Any]):
    """Values of a setting, or headers that are remembered: few, and a deque has room for 64."""

    def popleft(self) -> Any:
        """Take the oldest."""
        return self.pop(0)

    def appendleft(self, value: Any) -> None:
        """Put one before all others."""
        self.insert(0, value)


class LimitedProtocol(H2Protocol):
    """One connection."""

    def __init__(self, handler: Handler, h2_config: H2Configuration, all_of: Connections) -> None:
        limits = all_of.limits
        super().__init__(handler, configuration(limits), h2_config)
        self._all = all_of
        self._limits = limits
        self._allowance = Allowance(limits.frames_a_second)
        self._frames = FrameCounter()
        self._any_frames = Allowance(limits.any_frames_a_second)
        self._address = ""
        self.expires_at = math.inf
        """When the client's certificate comes to its end, in seconds of the clock."""
        self._timers: list[TimerHandle] = []
        self._has_asked = False

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin, unless there are too many already."""
        super().connection_made(transport)
        peer = self.connection.get_peer()
        found = peer.addr()
        self._address = str(found[0]) if found else ""
        certificate = peer.cert()
        if certificate:
            self.expires_at = ssl.cert_time_to_seconds(certificate["notAfter"])
        if reason := self._all.take(self, self._address):
            self.end(reason)
            return
        h2 = self.connection._connection  # noqa: SLF001, grpclib has no setting for these two
        h2.update_settings(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: self._limits.streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: self._limits.metadata,
            }
        )
        h2.decoder.max_header_list_size = self._limits.metadata
        self._make_small()
        self.connection.flush()
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(self._limits.first_request, self._expect_request),
            loop.call_later(self._limits.age, self._retire),
        ]

    def _make_small(self) -> None:
        """Replace what a connection at rest hardly uses; it is a quarter of its memory."""
        h2 = self.connection._connection  # noqa: SLF001, the same
        for settings in (h2.local_settings, h2.remote_settings):
            few: Any = {key: _Few(values) for key, values in settings._settings.items()}  # noqa: SLF001
            settings._settings = few  # noqa: SLF001
        for coder in (h2.encoder, h2.decoder):
            table: Any = coder.header_table
            table.dynamic_entries = _Few(table.dynamic_entries)

    def data_received(self, data: bytes) -> None:
        """Take frames in, as long as they are not too many of the costly kinds."""
        if not hasattr(self.processor, "processors"):
            return  # closed, and this was on its way
        if not self._any_frames.take(self._frames.take(data)):
            self.end("too many frames")
            return
        try:
            events = self.connection.feed(data)
        except (ProtocolError, ValueError, KeyError) as error:
            self.end(f"protocol error: {type(error).__name__}")
            return
        if len(self.connection._connection.remote_settings) > _MOST_SETTINGS:  # noqa: SLF001
            self.end("too many settings")
            return
        costly = sum(isinstance(event, _COSTLY) for event in events)
        if costly and not self._allowance.take(costly):
            self.end("too many frames")
            return
        self.connection.flush()
        for event in events:
            self._has_asked = self._has_asked or isinstance(event, RequestReceived)
            # Kinds that gRPC has no use for, such as extensions of HTTP/2, are passed over.
            if event.__class__ in getattr(self.processor, "processors", {}):
                self.processor.process(event)
        if not self.connection.is_closing():
            self.connection.flush()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        for timer in self._timers:
            timer.cancel()
        self._all.leave(self, self._address)
        super().connection_lost(exc)

    def end(self, reason: str) -> None:
        """Close the connection and end its streams."""
        if self.connection.is_closing():
            return
        self._all.turned_away += 1
        transport = self.connection._transport  # noqa: SLF001
        self.processor.close(reason)
        # A peer that does not read would keep a connection that waits for it.
        transport.abort()

    def _expect_request(self) -> None:
        if not self._has_asked:
            self.end("no request came")

    def _retire(self) -> None:
        """Ask the client to connect again, which an Envoy does without losing anything."""
        if self.connection.is_closing():
            return
        farewell = GoAwayFrame(0, last_stream_id=_ANY_STREAM)
        # Past h2, for which a connection that has said this is closed to its streams too.
        self.connection._transport.write(farewell.serialize())  # noqa: SLF001, the same
        loop = asyncio.get_running_loop()
        self._timers.append(
            loop.call_later(self._limits.age_grace, self.end, "the connection is too old")
        )
