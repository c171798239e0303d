"""Start a host whose power went away: mount its disk, look, start Envoy and the agent, look again.

What is found is known from the marks in the log and from the sets themselves; of the agent only
its files are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self
from unittest import mock

from meshc.delivery.agent import unconfirmed
from meshc.delivery.agent.log import Log
from meshc.delivery.agent.prepare import prepare
from meshc.delivery.agent.run import Agent
from meshc.diagnostics.errors import MeshcError
from tests.campaigns.blockdevice.disk import KIND, memory
from tests.campaigns.blockdevice.mounts import loop_device, mounted
from tests.campaigns.blockdevice.nodes import BY_GENERATION, SETS
from tests.campaigns.blockdevice.play import played_envoy, publish_all, settings_for
from tests.campaigns.faults import judge
from tests.campaigns.faults.sets import generation_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.campaigns.blockdevice.images import Expected, Image

TORN, NOT_STARTABLE, MEMORY = "torn", "not startable", "memory damaged"
LOST, NOT_CONVERGED = "acknowledged and lost", "not converged"
KINDS = (TORN, NOT_STARTABLE, MEMORY, LOST, NOT_CONVERGED)
PREPARED, UNPREPARED, ALONE = "prepared", "unprepared", "alone"
STARTS = (PREPARED, UNPREPARED, ALONE)
"""How a host comes up: `meshc agent prepare`, Envoy, agent; the same without the first, unless no
Envoy could start; or an agent that nobody answers, and that asks nobody."""
_HARMLESS = (".meshc is left over", "ledger.json.new is left over")
"""What goes with the next delivery, and the next ledger; nobody reads it."""
_NEEDED = ("good", "previous", "intent", "wanted")


class Host:
    """A host on which one disk after the other is tried; use it as a context manager."""

    def __init__(self) -> None:
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
        with self._file.open("r+b") as stream:  # over the last one, which is quicker than anew
            stream.write(image.content)
        with loop_device(self._file) as device, mounted(device, self._root, KIND):
            found = [*self._look(image.expected)]
            try:
                problems = [*self._start(image.expected, start)]
            except MeshcError as error:
                problems = [str(error)]
            if problems:
                found.append((NOT_CONVERGED, "; ".join(problems)))
        return found

    # --- what lies there ----------------------------------------------------------------------

    def _look(self, expected: Expected) -> Iterator[tuple[str, str]]:
        files = judge.files_in(self._target)
        sets = [SETS[name] for name in (expected.before, expected.goal) if name]
        torn = judge.torn(files, *sets)
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
        """Start Envoy and the agent, as the host does when its power is back."""
        is_refused = expected.goal == "refused"
        is_alone = start == ALONE and not is_refused
        settings = settings_for(self._root, self._work, expected.goal, unconfirmed=is_alone)
        if not is_alone and (start == PREPARED or judge.dangling(judge.files_in(self._target))):
            prepare(settings)
            yield from judge.dangling(judge.files_in(self._target))
        said = io.StringIO()
        with played_envoy(self._root, self._work) as envoy:
            if not is_alone:
                envoy.start()
            with Agent(settings, Log(said), is_resident=False) as agent:
                verdict = agent.once().name
            yield from envoy.served_wrongly
        if verdict != ("REFUSED" if is_refused else "DONE"):
            yield f"the agent ended with {verdict}: {said.getvalue()[-600:]}"
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
