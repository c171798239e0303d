"""A wire to Consul that counts requests by the second and can be cut; a program of its own.

python -m benchmarks.wire HOST TARGET-HOST TARGET-PORT

Prints its port.  Reads commands, one a line: ``cut`` closes all connections and takes no new ones,
``mend`` takes them again, ``count`` prints the requests of each second and all bytes sent so far,
``reset`` forgets them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter

_PIECE = 256 * 1024
_METHODS = (b"GET /", b"PUT /", b"DELETE /")


class Wire:
    """Passes bytes on, and counts what looks like the first line of a request."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_cut = False
        self.seconds: Counter[int] = Counter()
        self.sent = 0

    async def accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if self.is_cut:
            back.close()
            return
        try:
            far, forth = await asyncio.open_connection(*self._target)
        except OSError:
            back.close()
            return
        self._writers |= {back, forth}
        both = asyncio.gather(
            self._pass(near, forth, is_counted=True), self._pass(far, back, is_counted=False)
        )
        with contextlib.suppress(OSError):
            await both
        self._writers -= {back, forth}

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_counted: bool
    ) -> None:
        try:
            while piece := await source.read(_PIECE):
                if is_counted:
                    # A client sends the head of a request as a piece of its own.
                    self.seconds[int(time.monotonic())] += piece.startswith(_METHODS)
                    self.sent += len(piece)
                target.write(piece)
                await target.drain()
        finally:
            target.close()

    def cut(self) -> None:
        """Close everything."""
        self.is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()


async def serve(host: str, target: tuple[str, int]) -> None:
    """Serve until standard input ends."""
    wire = Wire(target)
    server = await asyncio.start_server(wire.accept, host, 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match line.strip():
            case "cut":
                wire.cut()
            case "mend":
                wire.is_cut = False
            case "reset":
                wire.seconds.clear()
                wire.sent = 0
        said = {"seconds": dict(wire.seconds), "sent": wire.sent}
        print(json.dumps(said), flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], (sys.argv[2], int(sys.argv[3]))))
