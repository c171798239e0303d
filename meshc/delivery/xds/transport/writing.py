"""Messages of a stream, written at once where there is room for them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = struct.Struct(">?I")
_FRAME = struct.Struct(">HBBBI")
"""Head of a frame: length in 16 and 8 bits, type, flags, stream."""
_DATA = 0


def write(grpc: Any, message: bytes) -> bool:
    """Write a message; False where the stream has not begun or the client has to read first.

    Past grpclib and h2, whose task, coroutines and copies for each message, made for waiting,
    are a third of what a push costs.  What they count, the windows, is kept.
    """
    if not grpc._send_initial_metadata_done:  # noqa: SLF001, grpclib has no way to ask
        return False
    stream = grpc._stream  # noqa: SLF001, the same
    connection, h2 = stream.connection, stream._h2_connection  # noqa: SLF001, the same
    state = h2.streams.get(stream.id)
    if state is None or connection.is_closing() or not connection.write_ready.is_set():
        return False
    size = _PREFIX.size + len(message)
    if size > min(h2.outbound_flow_control_window, state.outbound_flow_control_window):
        return False
    h2.outbound_flow_control_window -= size
    state.outbound_flow_control_window -= size
    stream._transport.write(  # noqa: SLF001, the same
        b"".join(_frames(stream.id, message, h2.max_outbound_frame_size))
    )
    return True


def _frames(stream: int, message: bytes, most: int) -> Iterator[bytes | memoryview]:
    """Cut a message and its prefix into frames of at most ``most`` bytes."""
    view = memoryview(message)
    prefix = _PREFIX.pack(False, len(message))  # noqa: FBT003, not compressed
    at = 0
    while prefix or at < len(view):
        end = min(len(view), at + most - len(prefix))
        size = len(prefix) + end - at
        yield _FRAME.pack(size >> 8, size & 0xFF, _DATA, 0, stream)
        yield prefix
        yield view[at:end]
        at, prefix = end, b""
