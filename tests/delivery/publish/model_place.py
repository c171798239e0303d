"""A place in memory that can be cut off between any two entries, and read at any moment."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from meshc.delivery.publish.plan import PublishConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from meshc.delivery.publish.place import Entry


class CutOffError(Exception):
    """The publisher was killed here."""


class ModelPlace:
    """Keys and values; ``left`` is how many entries may still be written before the cut."""

    name = "the model"

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.left: int | None = None
        self.written = 0
        self.reads: list[str] = []
        self.after_each: Callable[[], None] = lambda: None
        self.before_lock: Callable[[], None] = lambda: None
        self._is_held = False

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        hook, self.before_lock = self.before_lock, lambda: None
        hook()
        assert not self._is_held
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def get(self, keys: Sequence[str]) -> Iterator[Entry]:
        for key in keys:
            self.reads.append(key)
            yield key, self.values.get(key)

    def names(self, folder: str) -> list[str]:
        self.reads.append(f"{folder}/")
        return [
            key.removeprefix(f"{folder}/") for key in self.values if key.startswith(f"{folder}/")
        ]

    def write(self, entries: Iterable[Entry]) -> None:
        for key, data in entries:
            self._step()
            if data is None:
                self.values.pop(key, None)
            else:
                self.values[key] = data
            self.after_each()

    def swap(self, key: str, old: bytes | None, new: bytes) -> None:
        if self.values.get(key) != old:
            raise PublishConflictError("it has changed")
        self.write([(key, new)])

    def _step(self) -> None:
        assert self._is_held, "written to without the lock"
        if self.left is not None:
            if not self.left:
                raise CutOffError
            self.left -= 1
        self.written += 1
