"""The disk whose power goes away holds what was written to it, and little memory for the rest."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.campaigns.blockdevice.content import BLOCK, Content

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 40 * BLOCK + 512


def test_whatever_is_written_is_read_back_also_through_a_file(tmp_path: Path) -> None:
    draw = random.Random(1)
    content, expected = Content(SIZE), bytearray(SIZE)
    for _ in range(400):
        offset = draw.randrange(SIZE)
        length = draw.randrange(min(3 * BLOCK, SIZE - offset) + 1)
        data = draw.choice((bytes(length), draw.randbytes(length)))
        content.write(offset, data)
        expected[offset : offset + length] = data
        start = draw.randrange(SIZE)
        end = draw.randrange(start, SIZE + 1)
        assert content.read(start, end - start) == expected[start:end]

    (tmp_path / "disk").write_bytes(b"of another disk" * SIZE)
    content.save(tmp_path / "disk")

    assert (tmp_path / "disk").read_bytes() == expected
    assert Content.read_from(tmp_path / "disk").read(0, SIZE) == expected


def test_what_is_written_to_a_copy_is_not_written_to_the_other() -> None:
    content = Content(SIZE)
    content.write(100, b"old")
    other = content.copy()

    other.write(100, b"new")

    assert (content.read(100, 3), other.read(100, 3)) == (b"old", b"new")


def test_a_large_disk_takes_the_memory_and_the_room_of_what_was_written(tmp_path: Path) -> None:
    content = Content(1 << 36)
    content.write(1 << 35, b"x")
    content.write(5, b"y" * BLOCK)
    content.write(5, bytes(BLOCK))
    content.save(tmp_path / "disk")

    again = Content.read_from(tmp_path / "disk")

    assert content.kept == again.kept == BLOCK
    assert (tmp_path / "disk").stat().st_blocks * 512 <= 16 * BLOCK
    assert again.read(1 << 35, 1) == b"x"
