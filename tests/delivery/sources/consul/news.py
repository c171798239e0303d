"""What a watch tells."""

from __future__ import annotations

import threading

_PATIENCE_S = 20


class News:
    """Counts what a watch tells."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def __call__(self, _at: float) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.count >= count, _PATIENCE_S)
