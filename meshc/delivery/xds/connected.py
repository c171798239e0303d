"""One client's stream on the wire: carries bytes between the pure stream and gRPC."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from meshc.diagnostics.errors import MeshcError

if TYPE_CHECKING:
    from meshc.delivery.xds.hub import Bundles
    from meshc.delivery.xds.rewrite import Variant
    from meshc.delivery.xds.stream import Stream


class Connected:
    """A stream with its client.

    Responses are sent by a short task that is started when there are some: a stream at rest
    costs no task beside the one that reads from it.
    """

    __slots__ = (
        "_grpc",
        "_outbox",
        "_reader",
        "_sender",
        "_timer",
        "address",
        "is_closed",
        "is_failed",
        "node",
        "problem",
        "since",
        "state",
        "variant",
    )

    def __init__(self, grpc: Any, *, node: str, variant: Variant, state: Stream) -> None:
        self._grpc = grpc
        self.node = node
        self.variant = variant
        self.state = state
        self.address = grpc.peer.addr()
        self.since = time.time()
        self.is_closed = False
        self.is_failed = False
        """Whether a mistake of meshc itself has ended it."""
        self._reader = asyncio.current_task()
        self.problem = ""
        """Why this node gets nothing new; what it has stays."""
        self._outbox: list[bytes] = []
        self._sender: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

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
        if responses:
            self._outbox += responses
            if self._sender is None:
                self._sender = asyncio.get_running_loop().create_task(self._send())
        now = time.monotonic()
        wake_at = self.state.wake_at(now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_at is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, wake_at - now), self._tick)

    def close(self) -> None:
        """Forget what was not sent."""
        self.is_closed = True
        self._outbox.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._sender is not None:
            self._sender.cancel()

    def _tick(self) -> None:
        self._timer = None
        try:
            self.emit(self.state.tick(time.monotonic()))
        except Exception as error:  # noqa: BLE001, as above
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End a stream of which nobody knows how it is; its client comes back and says."""
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"the stream of node {self.node} failed", "exception": error}
        )
        self._end()

    def _end(self) -> None:
        self.is_failed = True
        self.close()
        if self._reader is not None:
            self._reader.cancel()

    async def _send(self) -> None:
        try:
            while self._outbox:
                await self._grpc.send_message(self._outbox.pop(0))
        except Exception:  # noqa: BLE001, mostly the client has gone; who hears no more must not stay
            self._end()
        finally:
            self._sender = None
