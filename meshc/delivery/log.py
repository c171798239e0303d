"""One line an event, on standard error: key=value pairs, or JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@+%,")
_MAX_VALUE = 2048

Value = str | int | float | bool | None


class Log:
    """Writes events; what others have said is escaped, so that one event stays one line.

    ``fields`` are in every line.
    """

    def __init__(
        self, stream: TextIO | None = None, *, is_json: bool = False, **fields: Value
    ) -> None:
        self._stream = stream or sys.stderr
        self._is_json = is_json
        self._fields = fields

    def info(self, event: str, **fields: Value) -> None:
        """Say that something happened as it should."""
        self._write("info", event, fields)

    def warn(self, event: str, **fields: Value) -> None:
        """Say that something needs attention, though traffic goes on."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Value) -> None:
        """Say that somebody has to act."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: Mapping[str, Value]) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03}Z"
        said = {**self._fields, **fields}
        shown = {key: _bounded(value) for key, value in said.items() if value is not None}
        pairs = {"time": stamp, "level": level, "event": event, **shown}
        if self._is_json:
            line = json.dumps(pairs)
        else:
            line = " ".join(f"{key}={_quoted(value)}" for key, value in pairs.items())
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # Nobody reads; work goes on.


def _bounded(value: Value) -> Value:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, str) and len(value) > _MAX_VALUE:
        return value[:_MAX_VALUE] + "…"
    return value


def _quoted(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    # JSON escapes every control character, and quotes whatever could be taken for another pair.
    return text if text and set(text) <= _BARE else json.dumps(text)
