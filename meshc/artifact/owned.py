"""Which folder is a bundle's, and which files in it are: only those may be replaced or removed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from meshc.artifact.layout import MANIFEST, NODE_FILES, NODES, SERVICES
from meshc.artifact.manifest import Manifest
from meshc.diagnostics.errors import BundleError, OutputError
from meshc.diagnostics.names import is_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_HEAD = 200
"""Bytes of a manifest by which it is known as one of ours."""
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_FILE = re.compile(r"[A-Za-z0-9_@-]+\.json\Z")


def check_ours(out: Path, journal: str) -> None:
    """Refuse a folder that holds something, and no bundle; hidden files do not count.

    Raises:
        OutputError: it would have to be shared with files of somebody else.
    """
    try:
        holds_something = any(not one.name.startswith(".") for one in out.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return  # the latter is refused by the file system
    except OSError as error:
        raise OutputError(f'cannot read "{out}": {error.strerror}') from error
    if holds_something and not any(
        is_manifest(_head(place)) for place in (out / MANIFEST, out / journal / MANIFEST)
    ):
        raise OutputError(
            f'"{out}" is not empty, and not a bundle: it has no {MANIFEST} of meshc',
            hint="build into a folder of its own: --out DIR",
        )


def is_manifest(text: bytes) -> bool:
    """Whether a text begins as the manifests of meshc do, be it whole or not."""
    return text.startswith(b'{\n"format": ') and b'\n"meshc": "' in text[:_HEAD]


def files_named(out: Path) -> frozenset[str]:
    """Return the paths of all files that the manifest of a folder names; none without one."""
    try:
        return paths_named((out / MANIFEST).read_bytes())
    except OSError:
        return frozenset()


def paths_named(text: bytes) -> frozenset[str]:
    """Return the paths of all files that a manifest names, also if it is damaged.

    A merge may have left marks of conflicts in it; each whole line still says what it says.
    """
    try:
        data = Manifest.parse(text).data
        lines = [*_said(NODES, data["nodes"].items()), *_said(SERVICES, data["services"].items())]
    except (BundleError, AttributeError, TypeError):
        lines = [*_whole_lines(text)] if is_manifest(text) else []
    return frozenset(
        f"{folder}/{name}/{file}"
        for folder, name, files in lines
        for file in files
        if is_name(name) and _FILE.match(file)
    )


_Line = tuple[str, str, "Iterable[str]"]
"""Folder, name of a node or service, and its files."""


def _said(folder: str, entries: Iterable[tuple[str, dict[str, object]]]) -> Iterator[_Line]:
    for name, entry in entries:
        yield folder, name, NODE_FILES if folder == NODES else tuple(entry)


def _whole_lines(text: bytes) -> Iterator[_Line]:
    for line in text.decode(errors="replace").splitlines():
        name, colon, entry = line.rstrip(",").partition('": ')
        try:
            found = json.loads(entry) if colon and name.startswith('"') else None
        except (ValueError, RecursionError):
            continue
        if not isinstance(found, dict):
            continue
        if found.keys() >= set(NODE_FILES):
            yield NODES, name[1:], NODE_FILES
        elif all(isinstance(one, str) and _DIGEST.match(one) for one in found.values()):
            yield SERVICES, name[1:], tuple(found)


def _head(place: Path) -> bytes:
    try:
        with place.open("rb") as stream:
            return stream.read(_HEAD)
    except OSError:
        return b""
