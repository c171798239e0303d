"""The gate of the real Envoy: every distinct resource is judged by the program that will run it.

Resources of the whole mesh are put into few static bootstraps and Envoy's validate mode is run
on those.  It stops at the first thing that it dislikes; the gate goes on until everything bad
is named, each with Envoy's own words about that resource alone.
"""

from __future__ import annotations

import re
import resource
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import orjson

from meshc.diagnostics.errors import EnvoyError
from meshc.validate.envoy_answer import clean_reason, place_of
from meshc.validate.envoy_copy import checked_endpoints
from meshc.validate.envoy_process import EnvoyRun, envoy_version, start_envoy
from meshc.validate.static_bootstrap import BOOTSTRAP, CLUSTER, Candidate, assemble

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from meshc.validate.envoy_process import Answer

__all__ = ["Candidate", "EnvoyGate", "Refusal"]

# Two Envoys keep two cores busy; a third only takes memory.
_MAX_PROCESSES = 2
# Envoy opens a socket per actively checked endpoint and dies by SIGSEGV without descriptors.
# A quarter leaves room for its own and for a limit that is lower in the child.
_SHARE_OF_DESCRIPTORS = 4
_MAX_CHECKS = 4096
_QUOTED = re.compile(r"'([^']+)'")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Envoy refuses the resource of this key, for this reason (one printable line).

    ``is_judged`` is False where the gate gave up before it came to this one; it may be good.
    """

    key: str
    reason: str
    is_judged: bool = True


class EnvoyGate:
    """Judges candidates with an Envoy program; usable once: submit, submit, …, finish.

    Nothing is accepted by inference: what ``finish`` does not return was in a run that Envoy
    ended with its OK, so an acceptance may be remembered for ever, beside refusals too.
    Candidates are judged each by itself; what they mean to one another is the business of
    ``consistency.py``.

    Use it as a context manager where something may fail in between, so that no Envoy is left
    running.

    Args:
        binary: the program, see ``find_envoy``.
        batch_size: resources per run.  Envoy compares each listener with all before it, so
            time per resource is lowest between 500 and 2,000: below, starting costs more
            (50 ms), above, comparing does.
        timeout_s: how long one run may take before it is killed.
        max_refusals: after so many the gate gives up on what is left of refused batches and
            returns it with ``is_judged=False``: a mistake in a policy can spoil everything, and
            a hundred examples are enough.
    """

    def __init__(
        self,
        binary: Path,
        *,
        batch_size: int = 1000,
        timeout_s: float = 120,
        max_refusals: int = 100,
    ) -> None:
        self._binary = binary
        self._batch_size = batch_size
        self._timeout_s = timeout_s
        self._max_refusals = max_refusals
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        limit = _MAX_CHECKS if soft == resource.RLIM_INFINITY else soft // _SHARE_OF_DESCRIPTORS
        self._max_checks = max(1, min(_MAX_CHECKS, limit))
        self._open: list[Candidate] = []
        self._open_checks = 0
        self._waiting: deque[list[Candidate]] = deque()
        self._running: list[tuple[EnvoyRun, list[Candidate]]] = []
        self._suspicious: list[list[Candidate]] = []
        self._order: dict[str, int] = {}
        self.run_count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def version(self) -> str:
        """Return the version of the program; EnvoyError when it is no Envoy."""
        return envoy_version(self._binary)

    def judge(self, candidates: Sequence[Candidate]) -> tuple[Refusal, ...]:
        """Judge all and return the refused ones in the order given; empty: all accepted.

        Raises:
            EnvoyError: Envoy is missing, hangs, crashes, or does not answer clearly.
        """
        self.submit(candidates)
        return self.finish()

    def submit(self, candidates: Sequence[Candidate]) -> None:
        """Take more candidates; returns while Envoy judges full batches in the background.

        The messages must not be changed until ``finish`` has returned.
        """
        try:
            for candidate in candidates:
                self._order.setdefault(candidate.key, len(self._order))
                self._take(candidate)
            self._advance()
        except BaseException:
            self.close()
            raise

    def finish(self) -> tuple[Refusal, ...]:
        """Wait for all answers and return the refused candidates in the order of submission."""
        try:
            self._close_batch()
            while self._running or self._waiting:
                self._advance()
                if self._running:
                    self._collect(*self._running[0])
            diagnosis = _Diagnosis(self)
            for batch in self._suspicious:
                diagnosis.examine(batch, is_refused=True)
            refusals = diagnosis.refusals(self._order)
        finally:
            self.close()
        return refusals

    def close(self) -> None:
        """Kill what still runs and forget everything submitted; may be repeated."""
        for run, _ in self._running:
            run.kill()
        self._running.clear()
        self._waiting.clear()
        self._suspicious = []
        self._open = []
        self._open_checks = 0
        self._order = {}

    def run(self, batch: Sequence[Candidate], *, is_traced: bool = False) -> EnvoyRun:
        """Start Envoy on these candidates."""
        self.run_count += 1
        text = assemble(batch, max_checks=self._max_checks).text
        return start_envoy(self._binary, text, timeout_s=self._timeout_s, is_traced=is_traced)

    @property
    def max_checks(self) -> int:
        """How many actively checked endpoints one run may have."""
        return self._max_checks

    @property
    def max_refusals(self) -> int:
        """How many refusals are enough."""
        return self._max_refusals

    def _take(self, candidate: Candidate) -> None:
        if candidate.type_url == BOOTSTRAP:
            self._waiting.append([candidate])
            return
        checks = checked_endpoints(candidate.message) if candidate.type_url == CLUSTER else 0
        if self._open_checks + checks > self._max_checks:
            self._close_batch()
        self._open.append(candidate)
        self._open_checks += checks
        if len(self._open) >= self._batch_size:
            self._close_batch()

    def _close_batch(self) -> None:
        if self._open:
            self._waiting.append(self._open)
        self._open = []
        self._open_checks = 0
        self._advance()

    def _advance(self) -> None:
        """Collect what is over and start what waits."""
        for run, batch in [pair for pair in self._running if pair[0].is_over()]:
            self._collect(run, batch)
        while self._waiting and len(self._running) < _MAX_PROCESSES:
            batch = self._waiting.popleft()
            self._running.append((self.run(batch), batch))

    def _collect(self, run: EnvoyRun, batch: list[Candidate]) -> None:
        answer = run.wait()
        self._running.remove((run, batch))
        if answer.refusal is not None:
            self._suspicious.append(batch)


class _Diagnosis:
    """Finds everything bad in refused batches, in about two runs per bad resource.

    A traced run tells at which resource Envoy stopped; that one is judged alone, and the
    rest, without what Envoy had passed before it stopped, is judged again.  What it had passed
    is judged once more at the end.  Where Envoy says nothing usable, the batch is halved.
    """

    def __init__(self, gate: EnvoyGate) -> None:
        self._gate = gate
        self._found: dict[str, str] = {}
        self._unjudged: set[str] = set()

    def examine(self, batch: list[Candidate], *, is_refused: bool = False) -> None:
        """Find what is bad in this batch.

        A batch whose halves are both accepted, although it was refused itself, holds nothing
        bad: two resources were in each other's way, which says nothing about either.

        Raises:
            EnvoyError: ``is_refused`` says that this very batch was refused before, and now it
                is accepted.  An Envoy that contradicts itself, perhaps on a full disk, gives
                no answer.
        """
        passed: list[Candidate] = []
        while batch:
            if len(self._found) >= self._gate.max_refusals:
                self._unjudged.update(candidate.key for candidate in batch)
                break
            if len(batch) == 1:
                if not self._examine_alone(batch[0]) and is_refused:
                    raise _contradiction()
                break
            answer = self._gate.run(batch, is_traced=True).wait()
            if answer.refusal is None:
                if is_refused:
                    raise _contradiction()
                break
            is_refused = False
            suspect, passed_now, rest = self._split_at_suspect(batch, answer)
            if suspect is not None and self._examine_alone(suspect):
                passed += passed_now
                batch = rest
            else:
                middle = len(batch) // 2
                self.examine(batch[:middle])
                batch = batch[middle:]
        if passed:
            # Smaller than the batch by at least the bad one, so this comes to an end.
            self.examine(passed)

    def refusals(self, order: dict[str, int]) -> tuple[Refusal, ...]:
        """Return what was found, in the order of submission."""
        why = f"not judged: Envoy has refused {len(self._found)} others, which is enough"
        answers = [Refusal(key, reason) for key, reason in self._found.items()]
        answers += [
            Refusal(key, why, is_judged=False) for key in self._unjudged if key not in self._found
        ]
        return tuple(sorted(answers, key=lambda refusal: order[refusal.key]))

    def _examine_alone(self, candidate: Candidate) -> bool:
        refusal = self._gate.run([candidate]).wait().refusal
        if refusal is not None:
            self._found[candidate.key] = clean_reason(refusal)
        return refusal is not None

    def _split_at_suspect(
        self, batch: list[Candidate], answer: Answer
    ) -> tuple[Candidate | None, list[Candidate], list[Candidate]]:
        """Return the resource at which Envoy stopped, what came before it, and what comes after."""
        layout = assemble(batch, max_checks=self._gate.max_checks)
        place = place_of(answer, layout.cluster_names, eds=layout.eds)
        if place.suspect is None:
            owner = _bearer_of(answer.refusal or "", batch)
        else:
            kind, position = place.suspect
            owners = layout.clusters if kind == "clusters" else layout.listeners
            owner = owners[position] if position < len(owners) else None
        if owner is None:
            return None, [], batch
        done = {layout.clusters[i] for i in place.good_clusters}
        done |= {layout.listeners[i] for i in place.good_listeners}
        others = [(i in done, one) for i, one in enumerate(batch) if i != owner]
        passed = [one for is_done, one in others if is_done]
        return batch[owner], passed, [one for is_done, one in others if not is_done]


def _bearer_of(refusal: str, batch: Sequence[Candidate]) -> int | None:
    """Return the first resource that holds the last quoted word of a refusal without a place.

    Of an unknown enum value Envoy states the value and nothing else.
    """
    words = _QUOTED.findall(refusal)
    if not words:
        return None
    word = orjson.dumps(words[-1])
    for index, candidate in enumerate(batch):
        if word in orjson.dumps(dict(candidate.message)):
            return index
    return None


def _contradiction() -> EnvoyError:
    return EnvoyError(
        "Envoy refused a set of resources and then accepted the same set",
        hint="see whether the disk is full or a limit of open files is reached, and repeat",
    )
