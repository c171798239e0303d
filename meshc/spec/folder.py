"""A folder as the place where the documents of a mesh are kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from meshc.diagnostics.errors import SourceError
from meshc.spec.fields import quoted
from meshc.spec.places import ENDINGS, MESH_STEM, SpecText
from meshc.spec.source import read_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshc.diagnostics import DiagnosticSink


@dataclass(frozen=True, slots=True)
class SpecFolder:
    """Documents below a folder, each named by its path in it; read when asked for."""

    path: Path

    @property
    def root(self) -> str:
        """The folder as it was given."""
        return self.path.as_posix()

    @property
    def mesh(self) -> str:
        """Nothing: the name of a folder is nobody's choice for a mesh."""
        return ""

    def texts(self, sink: DiagnosticSink) -> Iterator[SpecText]:
        """Read every document; raises SourceError where one cannot be read at all."""
        for path in find_spec_files(self.path):
            name = path.relative_to(self.path).as_posix()
            stem = PurePosixPath(name).stem
            yield SpecText(
                name=name,
                stem=stem,
                is_mesh=stem == MESH_STEM and "/" not in name,
                source=read_source(path, name, sink),
            )


def find_spec_files(root: Path) -> list[Path]:
    """All documents below ``root`` in a stable order; hidden ones are passed over."""
    if not root.is_dir():
        raise SourceError(
            f'spec folder "{root}" does not exist'
            if not root.exists()
            else f'"{root}" is no folder',
            hint="give the folder with --specs, or make a first mesh with: meshc init DIR",
        )
    found = sorted(_walk(root), key=lambda path: path.as_posix())
    for path in found:
        if path.is_symlink():
            _check_link(path, root)
    return found


def _check_link(path: Path, root: Path) -> None:
    """Refuse a link that leads out: its target would be shown where it is no document."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise SourceError(
            f'"{path}" is a link that leads out of the spec folder',
            hint="put the document itself there",
        )


def _walk(folder: Path) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise SourceError(f'cannot read spec folder "{folder}": {error.strerror}') from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not entry.name.isprintable():
            raise SourceError(
                f"the name {quoted(entry.name)} in the spec folder cannot be shown",
                hint="rename it; file names are UTF-8 without control characters",
            )
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.name.endswith(ENDINGS):
            yield Path(entry.path)
