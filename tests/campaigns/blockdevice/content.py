"""What a disk holds: a large disk on which little was written takes little memory."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 4096
_ZEROES = bytes(BLOCK)


class Content:
    """Bytes, at first zeroes; only blocks in which something else is written are kept."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._blocks: dict[int, bytes] = {}

    @classmethod
    def read_from(cls, file: Path) -> Self:
        """Read a file; its holes are passed over."""
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = cls(os.fstat(descriptor).st_size)
            for start, end in _filled(descriptor, found.size):
                found.write(start, os.pread(descriptor, end - start, start))
        finally:
            os.close(descriptor)
        return found

    def save(self, file: Path) -> None:
        """Write it to a file, in the place of whatever that held."""
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.truncate(descriptor, self.size)
            for number, block in self._blocks.items():
                os.pwrite(descriptor, block[: self.size - number * BLOCK], number * BLOCK)
        finally:
            os.close(descriptor)

    def copy(self) -> Self:
        """Return another one that holds the same for now."""
        other = type(self)(self.size)
        other._blocks = self._blocks.copy()
        return other

    def read(self, offset: int, length: int) -> bytes:
        """Return what lies somewhere."""
        blocks = range(offset // BLOCK, -(-(offset + length) // BLOCK))
        found = b"".join(self._blocks.get(number, _ZEROES) for number in blocks)
        start = offset % BLOCK
        return found[start : start + length]

    def write(self, offset: int, data: bytes) -> None:
        """Put something somewhere."""
        first, last = offset // BLOCK, -(-(offset + len(data)) // BLOCK)
        before = self.read(first * BLOCK, offset % BLOCK)
        after = self.read(offset + len(data), last * BLOCK - offset - len(data))
        whole = b"".join((before, data, after))
        for number in range(first, last):
            block = whole[(number - first) * BLOCK : (number - first + 1) * BLOCK]
            if block == _ZEROES:
                self._blocks.pop(number, None)
            else:
                self._blocks[number] = block

    @property
    def kept(self) -> int:
        """How many bytes of memory it takes, about."""
        return len(self._blocks) * BLOCK


def _filled(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where a file may hold something else than zeroes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
