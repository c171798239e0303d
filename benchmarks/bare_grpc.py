"""A floor: the same bytes over as many plain streams from a bare loop on `grpc.aio`.

python -m benchmarks.bare_grpc PORT FILE...

A file is a response that is ready to be sent.  Each line on standard input sends the next one, in
turn, to all streams.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
# Without these, grpcio turns away a part of the streams when thousands come at once.
_OPTIONS = (
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
)


class Bare:
    """Sends to everybody, and reads what comes."""

    def __init__(self, responses: list[bytes]) -> None:
        self._responses = responses
        self._turn = 0
        self._streams: set[Any] = set()
        self._sending: set[asyncio.Task[None]] = set()

    async def stream(self, _requests: object, context: Any) -> None:
        """Answer the first request; read all others."""
        await context.read()
        self._streams.add(context)
        try:
            await context.write(self._responses[self._turn % len(self._responses)])
            while await context.read() is not grpc.aio.EOF:
                pass
        finally:
            self._streams.discard(context)

    def push(self) -> None:
        """Send the next response to all streams."""
        self._turn += 1
        data = self._responses[self._turn % len(self._responses)]
        for context in list(self._streams):
            task = asyncio.ensure_future(context.write(data))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)


async def _serve(port: int, responses: list[bytes]) -> None:
    bare = Bare(responses)
    server = grpc.aio.server(options=_OPTIONS)
    handler: Any = grpc.stream_stream_rpc_method_handler(bare.stream)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(_SERVICE, {"StreamAggregatedResources": handler})]
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("ready", flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while await commands.readline():
        bare.push()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), [Path(one).read_bytes() for one in sys.argv[2:]]))
