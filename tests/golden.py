"""Golden files: compared as bytes, rewritten only when asked, never in CI.

A missing golden fails, and so does one that nothing produces any more.
"""

from __future__ import annotations

import difflib
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SHOWN_LINES = 120


class Goldens:
    """Compares what a test got with what is stored, or stores it under ``--update-golden``."""

    def __init__(self, *, is_update: bool, command: str) -> None:
        if is_update and os.environ.get("CI"):
            raise pytest.UsageError("--update-golden is refused in CI: goldens are reviewed")
        self._is_update = is_update
        self._command = command

    def check_text(self, golden: Path, actual: str) -> None:
        """Compare one file."""
        self._check(golden.parent, {golden.name: actual.encode()}, {golden.name})

    def check_tree(self, golden: Path, actual: Path) -> None:
        """Compare two folders: the same files with the same bytes, none missing, none too many."""
        self._check(golden, read_tree(actual), set(read_tree(golden)))

    def _check(self, folder: Path, actual: Mapping[str, bytes], owned: set[str]) -> None:
        if self._is_update:
            self._write(folder, actual, owned)
            return
        differing = [
            name
            for name in sorted({*actual, *owned})
            if _bytes(folder / name) != actual.get(name) or name not in actual
        ]
        if differing:
            listed = "\n".join(_difference(folder / name, actual.get(name)) for name in differing)
            pytest.fail(
                f"{len(differing)} golden files differ below {folder}\n{listed}\n"
                f"if the change is meant, run: {self._command}",
                pytrace=False,
            )

    def _write(self, folder: Path, actual: Mapping[str, bytes], owned: set[str]) -> None:
        for name, data in actual.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        for name in owned - set(actual):
            (folder / name).unlink(missing_ok=True)
        _drop_empty(folder)


def read_tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, relative path → bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _drop_empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            shutil.rmtree(path)


def _difference(golden: Path, actual: bytes | None) -> str:
    stored = _bytes(golden)
    if stored is None:
        return f"{golden}: missing"
    if actual is None:
        return f"{golden}: orphan, nothing produces it any more"
    lines = list(
        difflib.unified_diff(
            stored.decode(errors="replace").splitlines(),
            actual.decode(errors="replace").splitlines(),
            fromfile=f"{golden} (stored)",
            tofile=f"{golden} (now)",
            lineterm="",
        )
    )
    more = [f"… {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else []
    return "\n".join(lines[:_SHOWN_LINES] + more)
