"""A bar on standard error for work that takes longer than people like to wait."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from meshc.cli.options import Terminal

_PATIENCE_S = 1.0


class Progress:
    """Shows how much of how much is done; use it as a context manager."""

    def __init__(self, shown: Terminal, label: str) -> None:
        self._is_wanted = sys.stderr.isatty() and not shown.is_quiet
        self._label = label
        self._started = time.monotonic()
        self._bar: ProgressBar[int] | None = None
        self._shown = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    def update(self, done: int, total: int) -> None:
        """Tell what is done by now."""
        if not self._is_wanted:
            return
        if self._bar is None:
            if time.monotonic() - self._started < _PATIENCE_S:
                return
            self._bar = click.progressbar(
                length=total, label=self._label, file=sys.stderr, show_pos=True
            )
            self._bar.update_min_steps = max(1, total // 200)
        self._bar.update(done - self._shown)
        self._shown = done
