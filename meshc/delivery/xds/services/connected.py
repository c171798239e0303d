"""One client's stream on the wire: carries bytes between the pure stream and gRPC."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.exceptions import StreamClosedError

from meshc.delivery.xds.transport.writing import write
from meshc.diagnostics.errors import MeshcError

if TYPE_CHECKING:
    from meshc.delivery.xds.content.rewrite import Variant
    from meshc.delivery.xds.protocol.stream import Stream
    from meshc.delivery.xds.services.hub import Bundles


_MISTAKE = GRPCError(Status.INTERNAL, "a mistake of meshc itself; ask again")
_NOT_READ = GRPCError(Status.DEADLINE_EXCEEDED, "a response is not read")


class Connected:
    """A stream with its client.

    Responses that the client has no room for are sent by a short task: a stream at rest costs
    no task beside the one that reads from it.
    """

    __slots__ = (
        "_grpc",
        "_loop",
        "_outbox",
        "_reader",
        "_sender",
        "_taken_s",
        "_timer",
        "_timer_at",
        "_wake_at",
        "address",
        "fault",
        "is_closed",
        "node",
        "problem",
        "since",
        "state",
        "variant",
    )

    def __init__(
        self, grpc: Any, *, node: str, variant: Variant, state: Stream, taken_s: float
    ) -> None:
        self._grpc = grpc
        self.node = node
        self.variant = variant
        self.state = state
        self.address = grpc.peer.addr()
        self.since = time.time()
        self.is_closed = False
        self.fault: GRPCError | None = None
        """What has ended it, where that was not the client."""
        self._taken_s = taken_s
        self._reader = asyncio.current_task()
        self.problem = ""
        """Why this node gets nothing new; what it has stays."""
        self._outbox: list[bytes] = []
        self._sender: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._wake_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def publish(self, bundles: Bundles, now: float) -> None:
        """Serve from another bundle.  A node that is not in it any more keeps what it has."""
        try:
            snapshot = bundles.snapshot(self.node, self.variant)
            self.problem = ""
            if snapshot is not self.state.snapshot:
                self.emit(self.state.publish(snapshot, now))
        except MeshcError as error:
            self.problem = error.message
        except Exception as error:  # noqa: BLE001, others wait for their turn
            self._fail(error)

    def emit(self, responses: list[bytes]) -> None:
        """Send responses, after those that are still on their way, and set the next alarm."""
        if self.is_closed:
            return
        if self._sender is None:
            while responses and write(self._grpc, responses[0]):
                del responses[0]
        if responses:
            self._outbox += responses
            if self._sender is None:
                self._sender = self._loop.create_task(self._send())
        self._set_alarm(time.monotonic())

    async def has_room(self) -> None:
        """Wait until everything is on its way: who does not read need not be heard either."""
        while self._sender is not None:
            await asyncio.wait({self._sender})

    def close(self) -> None:
        """Forget what was not sent."""
        self.is_closed = True
        self._outbox.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._sender is not None:
            self._sender.cancel()

    def _set_alarm(self, now: float) -> None:
        """Be called when the stream wants it, or before: one that rings in vain costs least."""
        self._wake_at = self.state.wake_at()
        if self._wake_at is None or (self._timer is not None and self._timer_at <= self._wake_at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._wake_at
        self._timer = self._loop.call_later(max(0.0, self._timer_at - now), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = time.monotonic()
        try:
            if self._wake_at is not None and self._wake_at <= now:
                self.emit(self.state.tick(now))
            else:
                self._set_alarm(now)
        except Exception as error:  # noqa: BLE001, as above
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End a stream of which nobody knows how it is; its client comes back and says."""
        self._loop.call_exception_handler(
            {"message": f"the stream of node {self.node} failed", "exception": error}
        )
        self._end(_MISTAKE)

    def _end(self, fault: GRPCError | None) -> None:
        self.fault = fault
        self.close()
        if self._reader is not None:
            self._reader.cancel()

    async def _send(self) -> None:
        try:
            while self._outbox:
                async with asyncio.timeout(self._taken_s):
                    await self._grpc.send_message(self._outbox.pop(0))
        except StreamClosedError:
            self._end(None)  # the client has gone
        except TimeoutError:
            self._end(_NOT_READ)
        except Exception:  # noqa: BLE001, who hears no more must not stay
            has_gone = self._grpc._stream.connection.is_closing()  # noqa: SLF001, as in `write`
            self._end(None if has_gone else _MISTAKE)
        finally:
            self._sender = None
