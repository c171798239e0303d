"""Hands connections on: what an agent serves on loopback, to whoever may reach this address.

    relay.py HOST:PORT TO-HOST:PORT

On a host with systemd, systemd-socket-proxyd does the same: deploy/systemd.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


async def main(address: str, target: str) -> None:
    """Relay until somebody ends it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            other_reader, other_writer = await asyncio.open_connection(*target.rsplit(":", 1))
            with contextlib.closing(other_writer):
                await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))

    host, _, port = address.rpartition(":")
    async with await asyncio.start_server(serve, host, int(port)) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
