"""Many agents' watches in one process, with the agent's own source; a program of its own.

python -m benchmarks.watchers HOST:PORT MESH NODE...

Each node has a source as an agent has it: it watches, fetches when it is told of news, and looks
every five seconds.  Prints a line for each bundle that is new: the moment of the monotonic clock,
the node, the build.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from pathlib import Path

from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import SourceError, open_source

_POLL_S = 5.0
_TICK_S = 0.05


class Watcher:
    """One agent, as far as its source is concerned."""

    def __init__(self, place: str, mesh: str, node: str, news: queue.SimpleQueue[Watcher]) -> None:
        nowhere = Path("/nonexistent")
        settings = AgentSettings(
            node=node, source=f"consul://{place}/{mesh}", target=nowhere, state=nowhere
        )
        self._files: dict[str, bytes] = {}
        self._source = open_source(settings, self._files.get)
        self.node = node
        self.known: str | None = None
        self.look_at = 0.0
        self._source.watch(lambda _at: news.put(self))

    def look(self) -> None:
        """Fetch, as the agent's worker does."""
        self.look_at = time.monotonic() + _POLL_S
        try:
            bundle = self._source.fetch(self.known)
        except SourceError:
            return
        if bundle is None:
            return
        digests = digests_of(bundle.files)
        self._files.clear()
        self._files.update({digests[path]: data for path, data in bundle.files.items()})
        self.known = generation_of(digests)
        print(f"{time.monotonic():.3f} {self.node} {bundle.generation}", flush=True)


def main() -> None:
    """Watch until standard input ends."""
    place, mesh, *nodes = sys.argv[1:]
    news: queue.SimpleQueue[Watcher] = queue.SimpleQueue()
    watchers = [Watcher(place, mesh, node, news) for node in nodes]
    end = threading.Event()

    def await_end() -> None:
        sys.stdin.read()
        end.set()

    threading.Thread(target=await_end, daemon=True).start()
    while not end.is_set():
        try:
            news.get(timeout=_TICK_S).look()
        except queue.Empty:
            now = time.monotonic()
            for watcher in watchers:
                if watcher.known is not None and now >= watcher.look_at:
                    watcher.look()


if __name__ == "__main__":
    main()
