"""End on Ctrl-C and SIGTERM at any moment, but never between starting a process and noting it."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXIT_BASE = 128


class Interrupted(BaseException):
    """Somebody asked the program to end; not an error, so ``except Exception`` lets it pass."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = _EXIT_BASE + number


class Signals:
    """Turns the first ending signal into `Interrupted`; later ones do not disturb the end."""

    def __init__(self) -> None:
        self._is_held = False
        self._is_ending = False
        self._pending: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Put a signal off until the block is done."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            if self._pending is not None:
                self._raise(self._pending)

    def ignore(self) -> None:
        """Let nothing disturb what follows."""
        self._is_ending = True

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._is_held:
            self._pending = number
        else:
            self._raise(number)

    def _raise(self, number: int) -> None:
        if not self._is_ending:
            self._is_ending = True
            raise Interrupted(number)
