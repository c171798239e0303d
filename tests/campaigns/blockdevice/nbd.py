"""A block device in memory, served over NBD (fixed newstyle), that logs what reaches it.

One connection is served by one thread, so the order of the log is the order in which requests
were done.  Who wants to note something at a moment of its own appends a `Mark` to the same log.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

    from tests.campaigns.blockdevice.content import Content

_OPTION_MAGIC = 0x49484156454F5054
_REPLY_MAGIC = 0x3E889045565A9
_REQUEST_MAGIC, _ANSWER_MAGIC = 0x25609513, 0x67446698
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_EXPORT_NAME, _ABORT, _INFO, _GO = 1, 2, 6, 7
_ACK, _SERVER_INFO, _UNSUPPORTED = 1, 3, (1 << 31) + 1
_READ, _WRITE, _DISCONNECT, _FLUSH, _TRIM, _ZERO = 0, 1, 2, 3, 4, 6
_FUA = 1
_CAN = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6  # flags; flush, FUA, trim, write zeroes
_INVALID, _IO_ERROR = 22, 5
_LONGEST = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that were written; ``is_lasting``: they were to be on the medium at once."""

    offset: int
    data: bytes
    is_lasting: bool = False


@dataclass(frozen=True, slots=True)
class Flush:
    """All writes before it are on the medium."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What somebody wanted noted at this moment."""

    content: dict[str, Any]


Record = Write | Flush | Mark


class LoggingServer:
    """Serves ``content`` on a Unix socket; use it as a context manager."""

    def __init__(self, address: Path, content: Content) -> None:
        self.address = address
        self.log: list[Record] = []
        self.size = content.size
        self.is_unreadable = False
        """Whether every read ends in an I/O error; what is cached above is not asked for."""
        self.refused_reads = 0
        self._content = content.copy()
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(self.address))
        server.listen(1)
        self._open.append(server)
        self._thread = threading.Thread(target=self._accept, args=(server,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        for one in self._open:
            one.close()

    def mark(self, content: dict[str, Any]) -> None:
        """Note something at this place of the log."""
        self.log.append(Mark(content))

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            stream, _ = server.accept()
            self._open.append(stream)
            if self._negotiate(stream):
                while self._serve(stream):
                    pass
            stream.shutdown(socket.SHUT_RDWR)

    def _negotiate(self, stream: socket.socket) -> bool:
        """Agree on the one export there is; False where the client goes away."""
        stream.sendall(
            b"NBDMAGIC" + struct.pack(">QH", _OPTION_MAGIC, _FIXED_NEWSTYLE | _NO_ZEROES)
        )
        (client_flags,) = struct.unpack(">I", _exactly(stream, 4))
        while True:
            _, option, length = struct.unpack(">QII", _exactly(stream, 16))
            _exactly(stream, length)
            match option:
                case _ if option == _EXPORT_NAME:
                    padding = b"" if client_flags & _NO_ZEROES else bytes(124)
                    stream.sendall(struct.pack(">QH", self.size, _CAN) + padding)
                    return True
                case _ if option in (_INFO, _GO):
                    info = struct.pack(">HQH", 0, self.size, _CAN)
                    _reply(stream, option, _SERVER_INFO, info)
                    _reply(stream, option, _ACK)
                    if option == _GO:
                        return True
                case _ if option == _ABORT:
                    _reply(stream, option, _ACK)
                    return False
                case _:
                    _reply(stream, option, _UNSUPPORTED)

    def _serve(self, stream: socket.socket) -> bool:
        """Do one request; False at the end."""
        magic, flags, kind, cookie, offset, length = struct.unpack(">IHHQQI", _exactly(stream, 28))
        if magic != _REQUEST_MAGIC or kind == _DISCONNECT:
            return False
        data = b""
        error = 0
        if length > _LONGEST or offset + length > self.size:
            error = _INVALID
            if kind == _WRITE:
                return False  # its bytes would be taken for requests
        elif kind == _READ and self.is_unreadable:
            error = _IO_ERROR
            self.refused_reads += 1
        elif kind == _READ:
            data = self._content.read(offset, length)
        elif kind == _WRITE:
            self._write(offset, _exactly(stream, length), flags)
        elif kind in (_TRIM, _ZERO):
            self._write(offset, bytes(length), flags)
        elif kind == _FLUSH:
            self.log.append(Flush())
        else:
            error = _INVALID
        stream.sendall(struct.pack(">IIQ", _ANSWER_MAGIC, error, cookie) + data)
        return True

    def _write(self, offset: int, data: bytes, flags: int) -> None:
        self._content.write(offset, data)
        self.log.append(Write(offset, data, is_lasting=bool(flags & _FUA)))


def _reply(stream: socket.socket, option: int, kind: int, data: bytes = b"") -> None:
    stream.sendall(struct.pack(">QIII", _REPLY_MAGIC, option, kind, len(data)) + data)


def _exactly(stream: socket.socket, length: int) -> bytes:
    parts: list[bytes] = []
    while length:
        piece = stream.recv(min(length, 1 << 20))
        if not piece:
            raise EOFError
        parts.append(piece)
        length -= len(piece)
    return b"".join(parts)
