"""Lay a node's files out in a directory, as an Envoy that is not running yet will find them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.artifact.layout import BOOTSTRAP, CDS, LDS, NODE_FILES, SERVICES
from meshc.delivery.agent.swap import put_file, read_files, remove_file, sole_writer
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.artifact.store import NodeBundle

_LAST = (CDS, LDS, BOOTSTRAP)
"""After what they refer to, so that a set that was cut off is never one that Envoy could start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterializeResult:
    """Which files were written, were right already, were removed; relative to the directory."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]


def materialize(bundle: NodeBundle, directory: Path) -> MaterializeResult:
    """Make a directory hold exactly a node's files; anything else in it is left alone.

    For an Envoy that is running use `deliver`, which waits for its answers.

    Raises:
        DeliveryError: the disk refuses, or another delivery into the directory is running.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeliveryError(f'cannot create "{directory}": {error.strerror}') from error
    with sole_writer(directory):
        there = read_files(directory)
        order = sorted(set(bundle.files) - set(NODE_FILES)) + [
            name for name in _LAST if name in bundle.files
        ]
        written = [path for path in order if there.get(path) != bundle.files[path]]
        removed = sorted(set(there) - set(bundle.files))
        for path in written:
            put_file(directory, path, bundle.files[path])
        for path in removed:
            remove_file(directory, path)
            _drop_folder(directory, path)
    return MaterializeResult(
        written=tuple(written),
        unchanged=tuple(path for path in order if path not in written),
        removed=tuple(removed),
    )


def _drop_folder(directory: Path, path: str) -> None:
    if path.startswith(f"{SERVICES}/"):
        with contextlib.suppress(OSError):  # something else is still in it
            (directory / path).parent.rmdir()
