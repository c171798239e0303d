"""Start a host whose power went away: mount its disk, look, start Envoy and the agent, look again.

What is found is known from the marks in the log and from the sets themselves; of the agent only
its files are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Self
from unittest import mock

from meshc.delivery.agent import unconfirmed
from tests.campaigns.blockdevice.disk import memory
from tests.campaigns.blockdevice.host import publish_all, start_host
from tests.campaigns.blockdevice.mounts import loop_device, mounted
from tests.campaigns.blockdevice.nodes import BY_GENERATION, REFUSED, SETS
from tests.campaigns.faults import judge
from tests.campaigns.faults.sets import generation_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.campaigns.blockdevice.images import Expected, Image

TORN, NOT_STARTABLE, MEMORY = "torn", "not startable", "memory damaged"
LOST, NOT_CONVERGED = "acknowledged and lost", "not converged"
NOT_MOUNTED = "not mounted"
"""The file system itself is lost; nothing can be said about what was on it."""
KINDS = (TORN, NOT_STARTABLE, MEMORY, LOST, NOT_CONVERGED, NOT_MOUNTED)
_HARMLESS = (".meshc is left over", "ledger.json.new is left over")
"""What goes with the next delivery, and the next ledger; nobody reads it."""
_NEEDED = ("good", "previous", "intent", "wanted")


def _is_left(path: str, data: bytes, before: str) -> bool:
    """Whether a file is a whole one of an older set, to which nobody refers any more.

    Files are removed without a sync, so they may come back until something else takes their name.
    """
    is_used = path in SETS.get(before, {})
    return not is_used and data in [one.get(path) for one in SETS.values()]


class Bench:
    """A place where one disk after the other is tried; use it as a context manager."""

    def __init__(self) -> None:
        self.again = 0
        """How often a disk was mounted at the second attempt only, or not at all."""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        temporary = tempfile.TemporaryDirectory(prefix="meshc-power-", dir=memory())
        self._work = Path(self._stack.enter_context(temporary))
        self._file, self._root = self._work / "image", self._work / "root"
        self._root.mkdir()
        self._file.touch()
        self._target, self._state = self._root / "target", self._root / "state"
        publish_all(self._work)
        self._stack.enter_context(mock.patch.object(unconfirmed, "_DRAIN_MARGIN_S", 0.0))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def judge(self, image: Image, start: str) -> list[tuple[str, str]]:
        """Return what is wrong with a disk, by kind; ``start`` is one of `STARTS`."""
        with contextlib.ExitStack() as held:
            try:
                self._mount(image, held)
            except OSError as error:
                return [(NOT_MOUNTED, str(error))]
            found = [*self._look(image.expected)]
            try:
                problems = [*self._start(image.expected, start)]
            except Exception:  # noqa: BLE001, whatever it is, the host does not start
                problems = [traceback.format_exc()]
            if problems:
                found.append((NOT_CONVERGED, "; ".join(problems)))
        return found

    def _mount(self, image: Image, held: contextlib.ExitStack) -> None:
        """Mount a disk; once more where that fails, on a device that remembers nothing.

        Rarely, while others use loop devices too, btrfs saw blocks of another disk.
        """
        for is_last in (False, True):
            image.content.save(self._file)
            with contextlib.ExitStack() as attempt:
                try:
                    device = attempt.enter_context(loop_device(self._file))
                    attempt.enter_context(mounted(device, self._root, image.system.kind))
                except OSError:
                    if is_last:
                        raise
                    self.again += 1
                    continue
                held.enter_context(attempt.pop_all())
                return

    # --- what lies there ----------------------------------------------------------------------

    def _look(self, expected: Expected) -> Iterator[tuple[str, str]]:
        files = judge.files_in(self._target)
        sets = [SETS[name] for name in (expected.before, expected.goal) if name]
        used = {path: d for path, d in files.items() if not _is_left(path, d, expected.before)}
        torn = judge.torn(used, *sets)
        yield from ((TORN, text) for text in torn)
        if "bootstrap.json" in files or expected.laid or expected.before:
            yield from ((NOT_STARTABLE, text) for text in judge.dangling(files))
        yield from ((MEMORY, text) for text in judge.broken_memory(self._state))
        yield from ((LOST, text) for text in self._lost(expected))
        if expected.laid and not torn:
            for text in judge.lacks(files, SETS[expected.laid]):
                yield LOST, f'"{expected.laid}" was delivered: {text}'

    def _lost(self, expected: Expected) -> Iterator[str]:
        """Say what was saved and is not there."""
        ledger = self._state / "ledger.json"
        last = expected.saves[-1] if expected.saves else ""
        if not ledger.exists():
            if last:
                yield f"ledger {len(expected.saves)} was saved, and there is none"
            return
        digest = hashlib.sha256(ledger.read_bytes()).hexdigest()
        if digest not in {last, expected.unsure}:
            known = digest in expected.saves
            was = f"is number {1 + expected.saves.index(digest)}" if known else "was never saved"
            yield f"ledger {len(expected.saves)} was saved, and what is there {was}"
        content = judge.read_ledger(self._state)
        for key in _NEEDED:
            name = content and content[key]
            if name and name not in judge.stored_generations(self._state):
                yield f"generation {BY_GENERATION.get(name, name)} ({key}) is not stored"

    # --- what becomes of it -------------------------------------------------------------------

    def _start(self, expected: Expected, start: str) -> Iterator[str]:
        is_refused = expected.goal == REFUSED
        started = start_host(self._root, self._work, expected.goal, start)
        yield from started.problems
        if started.verdict != ("REFUSED" if is_refused else "DONE"):
            yield f"the agent ended with {started.told}"
        yield from self._ends(expected.before if is_refused else expected.goal)

    def _ends(self, name: str) -> Iterator[str]:
        there, ends = judge.files_in(self._target), SETS[name]
        if there != ends:
            wrong = sorted(path for path in {*there, *ends} if there.get(path) != ends.get(path))
            yield f'not "{name}", differs in {", ".join(wrong)}'
        ledger = judge.read_ledger(self._state)
        if ledger is None or ledger["intent"] or ledger["good"] != generation_name(ends):
            yield f'the ledger does not say that "{name}" is good'
        yield from judge.broken_memory(self._state)
        for text in judge.leftovers(self._target, self._state):
            if text not in _HARMLESS:
                yield text
