"""What may be on a disk after its power went away somewhere in a log; pure.

All that was flushed is there.  Of what was written after the last flush any part may be there: a
disk may keep any of its writes in memory, and write them, or blocks of them, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.campaigns.blockdevice.content import BLOCK
from tests.campaigns.blockdevice.nbd import Flush, Mark, Write

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from tests.campaigns.blockdevice.content import Content
    from tests.campaigns.blockdevice.disk import FileSystem
    from tests.campaigns.blockdevice.nbd import Record
    from tests.campaigns.blockdevice.record import Recording

_CLAIMS = ("saved", "laid")
"""Marks right after which a power cut hurts most: something was just taken for durable."""
_SHARES = (0.0, 0.2, 0.5, 0.8, 1.0)
_IN_BLOCKS = 0.5


@dataclass(slots=True, kw_only=True)
class Expected:
    """What the agent had said when the power went away.

    Attributes:
        goal: The set that was being delivered, and ``before``: the one that was good then.
        saves: Digests of the ledgers that were saved, in that order; ``unsure`` is that of the
            one which was being saved.
        laid: The set that must lie in the target; empty: a delivery is on its way.
    """

    goal: str = ""
    before: str = ""
    saves: list[str] = field(default_factory=list)
    unsure: str = ""
    laid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A disk after a power cut.

    ``is_claimed``: right after something was taken for durable; ``kept``: writes, or blocks, that
    were not flushed and are there; ``lost``: those that are not.
    """

    system: FileSystem
    content: Content
    expected: Expected
    name: str
    is_claimed: bool
    kept: int
    lost: int


def draw_images(recording: Recording, count: int, draw: random.Random) -> Iterator[Image]:
    """Cut the power that often, in the order of the log."""
    log = recording.log
    durable = recording.initial.copy()
    done = 0
    for cut in sorted(draw.choices(*_cuts(log), k=count)):
        flushed = max((i for i in range(done, cut) if isinstance(log[i], Flush)), default=done)
        for one in log[done:flushed]:
            if isinstance(one, Write):
                _apply(durable, one)
        done = flushed
        content = durable.copy()
        kept, lost = _apply_some(content, log[flushed:cut], draw)
        yield Image(
            system=recording.system,
            content=content,
            expected=expected_at(log, cut, recording.begun),
            name=(
                f"{recording.name}, cut before record {cut} of {len(log)}, "
                f"{kept} of {kept + lost} unflushed writes kept"
            ),
            is_claimed=_is_claim(log[cut - 1]),
            kept=kept,
            lost=lost,
        )


def expected_at(log: Sequence[Record], cut: int, begun: Expected | None = None) -> Expected:
    """Read from the marks what the agent had said, and what it was at."""
    found = replace(begun, saves=[*begun.saves]) if begun else Expected()
    for one in log[:cut]:
        if not isinstance(one, Mark):
            continue
        said = one.content
        match said["what"]:
            case "found":
                found.unsure = ""
                found.saves.append(said["digest"])
            case "begins":
                found.goal, found.before = said["goal"], said["before"]
            case "saving":
                found.unsure = _next_save(log[cut:])
            case "saved":
                found.unsure = ""
                found.saves.append(said["digest"])
            case "laying":
                found.laid = ""
            case "laid":
                found.laid = said["goal"]
    return found


def is_delivery(one: Record) -> bool:
    """Whether a delivery begins here."""
    return isinstance(one, Mark) and one.content["what"] == "begins"


def _next_save(log: Sequence[Record]) -> str:
    marks = (one.content for one in log if isinstance(one, Mark))
    return next((said["digest"] for said in marks if said["what"] == "saved"), "never saved")


def _cuts(log: Sequence[Record]) -> tuple[list[int], list[float]]:
    """Where the power may go away, and how much weight each place has.

    A quarter each for the moments after something was taken for durable, for those right after a
    flush, for those right before one of several writes, and for any moment at all.
    """
    begin = next(i for i, one in enumerate(log) if isinstance(one, Mark)) + 1
    places = range(begin, len(log))
    kinds = [
        [i for i in places if _is_claim(log[i - 1])],
        [i for i in places if isinstance(log[i - 1], Flush)],
        [i for i in places if isinstance(log[i], Flush) and _are_writes(log[i - 2 : i])],
        list(places),
    ]
    cuts = [i for kind in kinds for i in kind]
    weights = [1 / len(kind) for kind in kinds for _ in kind]
    return cuts, weights


def _are_writes(log: Sequence[Record]) -> bool:
    return all(isinstance(one, Write) for one in log)


def _is_claim(one: Record) -> bool:
    return isinstance(one, Mark) and one.content["what"] in _CLAIMS


def _apply(content: Content, write: Write) -> None:
    content.write(write.offset, write.data)


def _apply_some(content: Content, log: Sequence[Record], draw: random.Random) -> tuple[int, int]:
    """Apply a part of what was not flushed; returns how much, and how much is lost."""
    writes = [one for one in log if isinstance(one, Write)]
    if draw.random() < _IN_BLOCKS:
        writes = [piece for one in writes for piece in _blocks(one)]
    share = draw.choice(_SHARES)
    kept = [one for one in writes if one.is_lasting or draw.random() < share]
    for one in kept:
        _apply(content, one)
    return len(kept), len(writes) - len(kept)


def _blocks(write: Write) -> Iterator[Write]:
    for start in range(0, len(write.data), BLOCK):
        piece = write.data[start : start + BLOCK]
        yield Write(write.offset + start, piece, is_lasting=write.is_lasting)
