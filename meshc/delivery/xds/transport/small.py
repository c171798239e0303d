"""What grpclib and h2 keep for each connection and stream, without what a server never uses.

Thousands of clients stay connected and hardly ever ask: what one of them costs is memory.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from grpclib.protocol import EventsProcessor, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpclib.protocol import AbstractHandler, Connection
    from h2.connection import H2Connection
    from h2.events import Event


class Signal:
    """An `asyncio.Event`, which has room for 64 who wait for it, for those who do."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._waiters: tuple[asyncio.Future[None], ...] = ()

    def is_set(self) -> bool:
        """Whether nobody has to wait."""
        return self._is_set

    def set(self) -> None:
        """Let everybody go on who waits."""
        self._is_set = True
        for one in self._waiters:
            if not one.done():
                one.set_result(None)

    def clear(self) -> None:
        """Let everybody wait from now on."""
        self._is_set = False

    async def wait(self) -> None:
        """Wait until it is set."""
        if self._is_set:
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiters += (mine,)
        try:
            await mine
        finally:
            self._waiters = tuple(one for one in self._waiters if one is not mine)


class Few(list[Any]):
    """Values of a setting, or headers that are remembered: few, and a deque has room for 64."""

    __slots__ = ()

    def popleft(self) -> Any:
        """Take the oldest."""
        return self.pop(0)

    def appendleft(self, value: Any) -> None:
        """Put one before all others."""
        self.insert(0, value)


class _Stream(Stream):
    """A stream of a server, which waits for no headers of a response."""

    headers = trailers = None
    headers_received = trailers_received = Signal()  # type: ignore[assignment]  # for nobody

    def __init__(self, connection: Connection, h2: H2Connection, stream_id: int) -> None:
        # Not the one of grpclib, which makes what is above for each.
        self.connection = connection
        self.wrapper = None
        self._h2_connection = h2
        self._transport = connection._transport  # noqa: SLF001, as grpclib itself
        self.window_updated = Signal()  # type: ignore[assignment]
        self.init_stream(stream_id, connection)


class Processor(EventsProcessor):
    """Passes events on by a table that all connections share."""

    def __init__(self, handler: AbstractHandler, connection: Connection) -> None:
        # Not the one of grpclib, which makes a table of its own.
        self.handler = handler
        self.connection = connection
        self.streams = {}
        self.processors: Any = _METHODS

    @classmethod
    def instead_of(cls, before: EventsProcessor) -> Processor:
        """Take the place of grpclib's, which is let go at once and not by a look for cycles."""
        del before.processors
        return cls(before.handler, before.connection)

    def process(self, event: Event) -> None:
        """Pass an event on; kinds that gRPC has no use for are none."""
        table = getattr(self, "processors", None)
        if table is not None and (method := table.get(event.__class__)) is not None:
            method(self, event)

    def process_request_received(self, event: Any) -> None:
        """Begin a stream."""
        connection = self.connection
        stream = _Stream(connection, connection._connection, event.stream_id)  # noqa: SLF001, as above
        self.handler.accept(stream, event.headers, self.register(stream))


def _methods() -> Mapping[type[Event], Any]:
    """Take the table from grpclib, as the methods that it means."""
    bound = EventsProcessor(None, None).processors  # type: ignore[arg-type]
    return {kind: getattr(Processor, method.__name__) for kind, method in bound.items()}


_METHODS = _methods()


def make_small(connection: Connection) -> None:
    """Replace what a connection at rest hardly uses."""
    connection.write_ready = Signal(is_set=True)  # type: ignore[assignment]
    connection.stream_close_waiter = Signal()  # type: ignore[assignment]
    h2 = connection._connection  # noqa: SLF001, as above
    for settings in (h2.local_settings, h2.remote_settings):
        few: Any = {key: Few(values) for key, values in settings._settings.items()}  # noqa: SLF001
        settings._settings = few  # noqa: SLF001
    for coder in (h2.encoder, h2.decoder):
        table: Any = coder.header_table
        table.dynamic_entries = Few(table.dynamic_entries)
