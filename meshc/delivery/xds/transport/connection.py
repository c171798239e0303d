"""HTTP/2 connections under limits: what comes over one may cost only so much, or it is closed."""

from __future__ import annotations

import asyncio
import math
import os
import random
from typing import TYPE_CHECKING, Any

from grpclib.config import Configuration
from grpclib.protocol import H2Protocol
from h2.events import ConnectionTerminated, Event, PingAckReceived, RequestReceived
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from meshc.delivery.xds.transport.accepting import Room
from meshc.delivery.xds.transport.identity import ends_at
from meshc.delivery.xds.transport.limits import Account, Allowance, FrameCounter
from meshc.delivery.xds.transport.small import Processor, make_small

if TYPE_CHECKING:
    from asyncio import BaseTransport, TimerHandle
    from collections.abc import Callable

    from grpclib.server import Handler
    from h2.config import H2Configuration

    from meshc.delivery.xds.transport.accepting import Place
    from meshc.delivery.xds.transport.limits import Limits

_ANY_STREAM = 2**31 - 1
_MOST_SETTINGS = 64
"""HTTP/2 and its extensions know a dozen; each that a peer makes up is remembered by h2."""
_PING_SIZE = 8
_CONFIGURATION = Configuration(
    # grpclib's own pings take any answer, and who gives none is waited for until it reads.
    _keepalive_time=None,
    http2_connection_window_size=2**18,
    http2_stream_window_size=2**17,
).__for_server__()


def _is_request(event: RequestReceived) -> bool:
    return {name for name, _ in event.headers or ()} >= {":method", ":path"}


class Connections:
    """All open connections of a server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.room = Room(limits)
        self.open: set[LimitedProtocol] = set()
        self.ended = 0
        """Connections that were closed because they broke a limit."""

    @property
    def turned_away(self) -> int:
        """Connections that broke a limit, or that there was no room for."""
        return self.ended + self.room.refused

    def close_expired(self, now: float) -> None:
        """Close the connections whose clients' certificates have come to their end."""
        for one in [one for one in self.open if one.expires_at <= now]:
            one.end("the certificate has expired")

    def close_where(self, is_unwanted: Callable[[Any], bool]) -> int:
        """Close the connections whose peers are not wanted any more; return how many."""
        found = [
            one
            for one in self.open
            if not one.connection.is_closing() and is_unwanted(one.connection.get_peer())
        ]
        for one in found:
            one.end("no longer authorised")
        return len(found)


class LimitedProtocol(H2Protocol):
    """One connection."""

    handler: Handler

    def __init__(
        self, handler: Handler, h2_config: H2Configuration, all_of: Connections, place: Place
    ) -> None:
        limits = all_of.limits
        super().__init__(handler, _CONFIGURATION, h2_config)
        self._all = all_of
        self._limits = limits
        self._allowance = Allowance(limits.frames_a_second, limits.frames_a_second * 10)
        self._frames = FrameCounter()
        self._any_frames = Allowance(limits.any_frames_a_second, limits.any_frames_a_second * 3)
        self._place = place
        self.expires_at = math.inf
        """When the client's certificate comes to its end, in seconds of the clock."""
        self._timers: dict[str, TimerHandle] = {}
        """By what they call."""
        self._has_asked = False
        """Since the last look."""
        self._ping = b""
        """What was sent and has to come back; nothing while no answer is due."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self.processor = Processor.instead_of(self.processor)
        self.connection.account = Account(self._limits, self._all.room.memory)  # type: ignore[attr-defined]  # for `account_of`
        self.expires_at = ends_at(self.connection.get_peer().cert())
        self._all.open.add(self)
        h2 = self.connection._connection  # noqa: SLF001, grpclib has no setting for these two
        h2.update_settings(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: self._limits.streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: self._limits.metadata,
            }
        )
        h2.decoder.max_header_list_size = self._limits.metadata
        make_small(self.connection)
        self.connection.flush()
        self._later(self._limits.first_request, self._expect_request)
        self._later(self._limits.ping_every, self._ask_back)
        # Clients that have come together need not come again together.
        self._later(self._limits.age * random.uniform(0.9, 1.0), self._retire)  # noqa: S311

    def data_received(self, data: bytes) -> None:
        """Take frames in, as long as they are not too many."""
        if self.connection.is_closing():
            return  # this was on its way
        count, costly = self._frames.take(data)
        if not (self._any_frames.take(max(count, 1)) and self._allowance.take(costly)):
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
        self.connection.flush()
        for event in events:
            self._process(event)
        if not self.connection.is_closing():
            self.connection.flush()

    def _process(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self._close("the client has gone")
        elif isinstance(event, PingAckReceived):
            self._answered(event.ping_data)
        elif isinstance(event, RequestReceived) and not _is_request(event):
            self.end("a request without a method or a path")
        else:
            self._has_asked = self._has_asked or isinstance(event, RequestReceived)
            self.processor.process(event)

    def eof_received(self) -> None:
        """Close the connection: no client of HTTP/2 ends its half and goes on listening."""
        self._close("the client has gone")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        for timer in self._timers.values():
            timer.cancel()
        self._all.open.discard(self)
        self._place.leave()
        super().connection_lost(exc)
        # Streams that were reset wait for room to say so, and are told of no end.
        for task in self.handler._cancelled:  # noqa: SLF001, the same
            task.cancel()

    def end(self, reason: str) -> None:
        """Close the connection of a client that has broken a limit, and end its streams."""
        if not self.connection.is_closing():
            self._all.ended += 1
            self._close(reason)

    def _close(self, reason: str) -> None:
        if self.connection.is_closing():
            return
        transport = self.connection._transport  # noqa: SLF001
        self.processor.close(reason)
        # A peer that does not read would keep a connection that waits for it.
        transport.abort()

    def _later(self, seconds: float, call: Callable[..., None], *arguments: str) -> None:
        """Call something once the time has come; what was to be called earlier is not."""
        name = call.__name__
        if (before := self._timers.get(name)) is not None:
            before.cancel()
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(seconds, call, *arguments)

    def _expect_request(self) -> None:
        if self._has_asked:
            self._expect_use()
        else:
            self.end("no request came")

    def _expect_use(self) -> None:
        """Look now and then whether there was a stream since the last look."""
        if self._has_asked or self.processor.streams:
            self._has_asked = False
            self._later(self._limits.idle, self._expect_use)
        else:
            self._retire()

    def _ask_back(self) -> None:
        """Send a ping, of which only who reads it can know the answer."""
        if self._ping:
            self.end("no answer to a ping")
        elif not self.connection.is_closing():
            self._ping = os.urandom(_PING_SIZE)
            self.connection._connection.ping(self._ping)  # noqa: SLF001, the same
            self.connection.flush()
            self._later(self._limits.ping_answer, self._ask_back)

    def _answered(self, data: bytes) -> None:
        if data == self._ping:
            self._ping = b""
            self._later(self._limits.ping_every, self._ask_back)

    def _retire(self) -> None:
        """Ask the client to connect again, which an Envoy does without losing anything."""
        if self.connection.is_closing():
            return
        farewell = GoAwayFrame(0, last_stream_id=_ANY_STREAM)
        # Past h2, for which a connection that has said this is closed to its streams too.
        self.connection._transport.write(farewell.serialize())  # noqa: SLF001, the same
        self._later(self._limits.age_grace, self.end, "the connection is too old")
