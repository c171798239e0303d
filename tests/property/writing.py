"""Plain data → text, with the place of every key and value: what tests expect positions from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as FilePath

Path = tuple[str | int, ...]
Place = tuple[int, int]
"""Line and column, from one."""

_SAFE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_KEYWORDS = {"null", "true", "false"}
_RAW = re.compile(r'[^\x20-\x7e]|["\\]')
_INDENT = 2


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    if ord(char) > 0xFFFF:
        return char  # YAML and JSON write these differently as an escape, and both take them raw
    return f"\\u{ord(char):04x}"


def quote(text: str) -> str:
    """Write a text in double quotes as both languages read it."""
    return '"' + _RAW.sub(_escape, text) + '"'


def scalar(value: object, *, is_json: bool) -> str:
    """Write one value; YAML gets plain texts where nobody could misread them."""
    if isinstance(value, str):
        if not is_json and _SAFE.match(value) and value.lower() not in _KEYWORDS:
            return value
        return quote(value)
    return json.dumps(value)


@dataclass
class Written:
    """A text, and where in it the keys and values of the data stand."""

    text: str = ""
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)

    @property
    def _here(self) -> Place:
        line = self.text.count("\n") + 1
        return line, len(self.text) - (self.text.rfind("\n") + 1) + 1

    def _put_key(self, path: Path, text: str) -> None:
        self.keys[path] = self._here
        self.text += text

    def flow(self, data: Any, path: Path, *, is_json: bool) -> None:
        """Append data in brackets."""
        self.values[path] = self._here
        match data:
            case dict():
                self.text += "{"
                for index, (key, value) in enumerate(data.items()):
                    self.text += ", " if index else ""
                    self._put_key((*path, key), scalar(key, is_json=is_json))
                    self.text += ": "
                    self.flow(value, (*path, key), is_json=is_json)
                self.text += "}"
            case list():
                self.text += "["
                for index, value in enumerate(data):
                    self.text += ", " if index else ""
                    self.flow(value, (*path, index), is_json=is_json)
                self.text += "]"
            case _:
                self.text += scalar(data, is_json=is_json)

    def indented_json(self, data: Any, path: Path, depth: int = 0) -> None:
        """Append data as people write JSON."""
        if not data or not isinstance(data, dict | list):
            self.flow(data, path, is_json=True)
            return
        self.values[path] = self._here
        opening, closing = "{}" if isinstance(data, dict) else "[]"
        self.text += opening
        pairs = data.items() if isinstance(data, dict) else enumerate(data)
        for index, (key, value) in enumerate(pairs):
            self.text += ",\n" if index else "\n"
            self.text += " " * _INDENT * (depth + 1)
            if isinstance(data, dict):
                self._put_key((*path, key), quote(key))
                self.text += ": "
            self.indented_json(value, (*path, key), depth + 1)
        self.text += "\n" + " " * _INDENT * depth + closing

    def block(self, data: Any, path: Path, column: int = 0, flow_below: int = 9) -> None:
        """Append data as people write YAML, standing at ``column`` of a fresh line."""
        if not data or not isinstance(data, dict | list) or flow_below == 0:
            self.flow(data, path, is_json=False)
            self.text += "\n"
            return
        self.values[path] = self._here
        pairs = data.items() if isinstance(data, dict) else enumerate(data)
        for index, (key, value) in enumerate(pairs):
            if index:
                self.text += " " * column
            if isinstance(data, list):
                self.text += "- "
                self.block(value, (*path, key), column + _INDENT, flow_below - 1)
                continue
            self._put_key((*path, key), scalar(key, is_json=False))
            self.text += ":"
            if value and isinstance(value, dict | list) and flow_below > 1:
                self.text += "\n" + " " * (column + _INDENT)
                self.block(value, (*path, key), column + _INDENT, flow_below - 1)
            else:
                self.text += " "
                self.block(value, (*path, key), column + _INDENT, 0)


def write(data: Any, name: str, style: int = 9) -> Written:
    """Write a document; ``style`` is the depth below which YAML is written in brackets."""
    written = Written()
    if name.endswith(".json"):
        if style:
            written.indented_json(data, ())
        else:
            written.flow(data, (), is_json=True)
        written.text += "\n"
    else:
        if style % 2:
            written.text = "# A comment.\n\n"
        written.block(data, (), flow_below=style)
    return written


def write_all(documents: Mapping[str, Any], folder: FilePath, style: int = 9) -> dict[str, Written]:
    """Write a mesh into a folder; returns texts and places by file name."""
    found: dict[str, Written] = {}
    for name, data in documents.items():
        found[name] = write(data, name, style)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found[name].text, encoding="utf-8", newline="")
    return found
