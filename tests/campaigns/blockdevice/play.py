"""The process that delivers: the real agent, which says what it takes for durable at each moment.

It is a process of its own because mistakes are made in it on purpose, and because it waits for a
disk that the process above serves.  What it says goes to a socket, and it goes on only once that
has its place in the log of the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent import jobs, prepare, run, unconfirmed
from tests.campaigns.blockdevice.host import (
    played_envoy,
    publish_all,
    run_once,
    settings_for,
    start_host,
)
from tests.campaigns.blockdevice.mutants import MUTANTS
from tests.campaigns.blockdevice.nodes import REFUSED, SETS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

MOST_BYTES = 64 * 1024
_NOISY = ("fsync", "rename", "unlink", "mkdir", "write")
_UNCONFIRMED = 0.15
_really_sync = os.fsync


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to play.

    Attributes:
        root: The file system; target and state lie on it.
        work: A folder elsewhere, for the source and Envoy's socket.
        deliveries: How many, after the first one.
        start: How the host starts after an earlier power cut, from the set ``before`` on to
            ``goal``; empty: the disk is new.
        commits: How likely another process makes the file system commit before any step.
    """

    root: str
    work: str
    seed: int
    deliveries: int
    mutant: str = ""
    commits: float = 0.0
    start: str = ""
    before: str = ""
    goal: str = ""


class _Player:
    """Delivers one set after the other, by all the ways there are."""

    def __init__(self, order: Order, channel: socket.socket) -> None:
        self._order = order
        self._draw = random.Random(order.seed)
        self._channel = channel
        self._root, self._work = Path(order.root), Path(order.work)
        self._good = ""

    def play(self) -> None:
        publish_all(self._work)
        self._listen_in()
        if self._order.start:
            self._start_again()
        else:
            self._play()
        self._say(what="over")

    def _start_again(self) -> None:
        """Start as after a power cut; what lies there then is as durable as can be."""
        order = self._order
        ledger = self._root / "state" / "ledger.json"
        if ledger.exists():
            self._say(what="found", digest=_digest(ledger))
        self._say(what="begins", goal=order.goal, before=order.before)
        start_host(self._root, self._work, order.goal, order.start)

    def _play(self) -> None:
        with played_envoy(self._root, self._work) as envoy:
            self._deliver("first", self._draw.choice(("prepare", "once")))
            envoy.start()
            self._deliver("first", "once")
            for _ in range(self._order.deliveries):
                goal = self._draw.choice([name for name in SETS if name != self._good])
                if goal != REFUSED and self._draw.random() < _UNCONFIRMED:
                    envoy.stop()  # it looks when it is asked, and would see the last step only
                    self._deliver(goal, "unconfirmed")
                    envoy.start()
                else:
                    self._deliver(goal, "once")

    def _deliver(self, goal: str, mode: str) -> None:
        self._say(what="begins", goal=goal, before=self._good)
        settings = settings_for(self._root, self._work, goal, unconfirmed=mode == "unconfirmed")
        if mode == "prepare":
            prepare.prepare(settings)
        else:
            verdict, log = run_once(settings)
            if verdict != ("REFUSED" if goal == REFUSED else "DONE"):
                raise RuntimeError(f"{goal}, {mode}: {verdict}\n{log}")
        self._good = self._good if goal == REFUSED else goal

    def _say(self, **content: Any) -> None:
        self._channel.send(json.dumps(content).encode())
        self._channel.recv(1)

    def _listen_in(self) -> None:
        """Note when the agent takes something for durable, from the inside."""
        for module in (run, prepare):
            _wrap(module, "save_ledger", self._saving)
        for name in ("deliver", "deliver_unconfirmed", "materialize"):
            _wrap(jobs, name, self._laying)
        _wrap(prepare, "materialize", self._laying)
        unconfirmed._DRAIN_MARGIN_S = 0.0

    def _saving(self, save: Callable[..., None]) -> Callable[..., None]:
        def told(state: Path, *given: Any) -> None:
            self._say(what="saving")
            save(state, *given)
            self._say(what="saved", digest=_digest(state / "ledger.json"))

        return told

    def _laying(self, lay: Callable[..., Any]) -> Callable[..., Any]:
        def told(bundle: Any, *given: Any, **more: Any) -> Any:
            self._say(what="laying")
            result = lay(bundle, *given, **more)
            name = next(name for name, files in SETS.items() if files == bundle.files)
            self._say(what="laid", goal=name)
            return result

        return told


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _wrap(
    module: ModuleType, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    setattr(module, name, wrapper(getattr(module, name)))


def _be_noisy(root: Path, draw: random.Random, likely: float) -> None:
    """Let a neighbour on the same disk sync its own file at any moment.

    That commits whatever the agent has done so far, and nothing of what it has not synced.
    """
    neighbour = os.open(root / "neighbour", os.O_WRONLY | os.O_CREAT, 0o600)

    def noisy(call: Callable[..., Any]) -> Callable[..., Any]:
        really_write = os.pwrite

        def told(*given: Any, **more: Any) -> Any:
            if draw.random() < likely:
                really_write(neighbour, b"x", 0)
                _really_sync(neighbour)
            return call(*given, **more)

        return told

    for name in _NOISY:
        _wrap(os, name, noisy)


def order_text(order: Order) -> str:
    """Return an order as it is given to the process."""
    return json.dumps(asdict(order))


def main() -> None:
    """Play what is ordered."""
    order = Order(**json.loads(sys.argv[2]))
    if order.mutant:
        MUTANTS[order.mutant]()
    if order.commits:
        _be_noisy(Path(order.root), random.Random(order.seed), order.commits)
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        _Player(order, channel).play()


if __name__ == "__main__":
    main()
