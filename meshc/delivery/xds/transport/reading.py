"""Messages of a stream, cut out of what comes, as long as they keep to the limits."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshc.delivery.xds.transport.limits import Account, Limits

_PREFIX = struct.Struct(">?I")
_LARGE = 16 * 1024
"""Bytes of a request from which on it is counted with those of other streams."""
_KEPT = 512
"""Bytes that one stream may owe to the windows; all streams of a connection fit into its own."""


def account_of(grpc: Any) -> Account:
    """Return what the connection of a stream has used of what its streams share."""
    found: Account = grpc._stream.connection.account  # noqa: SLF001, all that handlers know of it
    return found


class Messages:
    """The messages of one stream, in the place of grpclib's buffer.

    That one is four kibibytes of queues for each stream, wakes for each part of a message, and
    reads one whole, however large it says it is.
    """

    __slots__ = (
        "__weakref__",
        "_acknowledge",
        "_data",
        "_grpc",
        "_has_ended",
        "_is_first",
        "_limit_at",
        "_limits",
        "_loop",
        "_owed",
        "_waiter",
    )

    def __init__(self, grpc: Any, limits: Limits) -> None:
        self._grpc = grpc
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._data = bytearray()
        self._owed = 0
        """Bytes that the windows of stream and connection count as unread."""
        self._is_first = True
        self._limit_at: float | None = None
        """When the message that is waited for has to be there."""
        self._waiter: asyncio.Future[None] | None = None
        stream = grpc._stream  # noqa: SLF001, grpclib has no place for another buffer
        before, stream.buffer = stream.buffer, self
        self._acknowledge = before._ack_callback  # noqa: SLF001, the same
        self._has_ended = before._eof  # noqa: SLF001, the same
        came = before._unacked  # noqa: SLF001, the same
        while not came.empty():
            data, _, size = came.get_nowait()
            self.add(data, size)

    def add(self, data: bytes, size: int) -> None:
        """Take bytes in, of which the windows count ``size``; grpclib calls this."""
        self._data += data
        self._owed += size
        self._wake()

    def eof(self) -> None:
        """Nothing more comes; grpclib calls this."""
        self._has_ended = True
        self._wake()

    def unacked_size(self) -> int:
        """Return what the windows are owed at the end; grpclib calls this."""
        return self._owed

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Wait for the next message.

        Raises:
            GRPCError: it is larger than the limit, compressed, cut off, or too long in coming.
        """
        while (message := self._cut()) is None:
            if self._has_ended and self._data:
                raise GRPCError(Status.INVALID_ARGUMENT, "a request is cut off")
            if self._has_ended:
                raise StopAsyncIteration
            await self._wait()
        self._is_first, self._limit_at = False, None
        if (wait_s := account_of(self._grpc).charge(len(message))) > 0:
            await asyncio.sleep(wait_s)
        return message

    def _cut(self) -> bytes | None:
        """Return a message that is complete."""
        if self._owed > _KEPT:
            owed, self._owed = self._owed, 0
            self._acknowledge(owed)
        data = self._data
        if len(data) < _PREFIX.size:
            return None
        is_compressed, size = _PREFIX.unpack_from(data)
        if is_compressed:
            raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not accepted")
        if size > self._limits.message:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED,
                f"a request of {size} bytes; {self._limits.message} are accepted",
            )
        end = _PREFIX.size + size
        if size > _LARGE:
            held = len(data) if len(data) < end else 0
            if account_of(self._grpc).hold(self, held) > self._limits.unread:
                raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many requests at once")
        if len(data) < end:
            if account_of(self._grpc).memory.shortage():
                raise GRPCError(Status.RESOURCE_EXHAUSTED, "no memory for a request in parts")
            return None
        message = bytes(data[_PREFIX.size : end])
        del data[:end]
        return message

    async def _wait(self) -> None:
        """Wait until something comes; the first message, and one that has begun, only so long."""
        self._waiter = self._loop.create_future()
        timer = None
        if self._is_first or self._data:
            if self._limit_at is None:
                self._limit_at = self._loop.time() + self._limits.first_request
            timer = self._loop.call_at(self._limit_at, self._expire)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _expire(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(
                GRPCError(Status.DEADLINE_EXCEEDED, "a request is too long in coming")
            )
