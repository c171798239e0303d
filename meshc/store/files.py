"""Documents between a store and files: whose document a file is, and exporting."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meshc.diagnostics import DiagnosticSink
from meshc.diagnostics.errors import OutputError, SourceError
from meshc.spec.budget import DEFAULT_BUDGET
from meshc.spec.fields import quoted
from meshc.spec.folder import find_spec_files
from meshc.spec.load import load_specs
from meshc.spec.places import MESH_STEM
from meshc.store.change import WantedDocument
from meshc.store.documents import SpecTexts, file_name, spec_text
from meshc.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshc.store.snapshot import StoredDocument

STANDARD_INPUT = Path("-")
_SHOWN_FILES = 5


def read_wanted(files: Sequence[Path], name: str | None) -> tuple[WantedDocument, ...]:
    """Read documents from files and folders, `-` being standard input.

    ``name`` is what the one document is to be stored as; without it that is what the document
    says, or its file's name.  Raises SourceError where something cannot be read.
    """
    found: list[WantedDocument] = []
    for path in files:
        if path == STANDARD_INPUT:
            content = sys.stdin.buffer.read(DEFAULT_BUDGET.file_bytes + 1)
            shown = file_name("stdin", content)
            found.append(_wanted(name or "stdin", content, shown, is_named=name is not None))
        elif path.is_dir():
            found += read_folder(path)
        else:
            shown = path.as_posix()
            found.append(
                _wanted(name or path.stem, _content(path), shown, is_named=name is not None)
            )
    return tuple(found)


def read_folder(folder: Path) -> tuple[WantedDocument, ...]:
    """Read all documents of a spec folder."""
    return tuple(
        _wanted(
            path.stem, _content(path), path.as_posix(), is_mesh=_is_mesh(path.relative_to(folder))
        )
        for path in find_spec_files(folder)
    )


def _is_mesh(inside: Path) -> bool:
    return inside.stem == MESH_STEM and len(inside.parts) == 1


def _wanted(
    stem: str, content: bytes, shown: str, *, is_named: bool = False, is_mesh: bool | None = None
) -> WantedDocument:
    if not shown.isprintable():
        raise SourceError(
            f"the name {quoted(shown)} cannot be shown",
            hint="rename it; file names are UTF-8 without control characters",
        )
    if is_mesh is None:
        is_mesh = stem == MESH_STEM
    name = stem
    if not is_mesh and not is_named:
        sink = DiagnosticSink()
        text = spec_text(stem, content, sink, shown=shown, is_mesh=False)
        specs = load_specs(SpecTexts([text]), sink)
        # What is wrong with the document is said later, together with all the rest.
        name = specs.services[0].name if specs.services else stem
    return WantedDocument(name=name, content=content, shown=shown, is_mesh=is_mesh)


def _content(path: Path) -> bytes:
    """Read at most one byte more than a document may have."""
    try:
        with path.open("rb") as file:
            return file.read(DEFAULT_BUDGET.file_bytes + 1)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise SourceError(f'cannot read "{path}": {reason}') from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What an export did to a folder, by names of files in it."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]


def export_documents(
    documents: Mapping[str, StoredDocument], folder: Path, *, is_pruning: bool
) -> Export:
    """Make the documents in a folder those of a store, each file as it was written once.

    Raises StoreError where the folder has others and they are not to be removed; nothing is
    written then, because a mesh of both would be neither.
    """
    contents = {file_name(name, one.content): one.content for name, one in documents.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = {path.relative_to(folder).as_posix() for path in find_spec_files(folder)}
        others = sorted(there - contents.keys())
        if others and not is_pruning:
            raise StoreError(
                f'"{folder}" has documents that the store does not have: {_listed(others)}',
                hint="export to another folder, or remove them with --prune",
            )
        written = [name for name, content in contents.items() if _put(folder / name, content)]
        for name in others:
            (folder / name).unlink()
    except OSError as error:
        raise OutputError(f'cannot write "{folder}": {error.strerror}') from error
    return Export(
        written=tuple(written),
        unchanged=tuple(name for name in contents if name not in written),
        removed=tuple(others),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    return ", ".join(names[:_SHOWN_FILES]) + more


def _put(path: Path, content: bytes) -> bool:
    """Replace a file by a rename; tell whether it was another one."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return False
    # Hidden, so that nobody takes it for a document if it is left behind.
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".meshc", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, _usual_mode())  # noqa: PTH101, mkstemp names a text
        os.replace(temporary, path)  # noqa: PTH105, the same
    except OSError:
        os.unlink(temporary)  # noqa: PTH108, the same
        raise
    return True


def _usual_mode() -> int:
    """Return the mode of a file that a user makes; mkstemp's own are for nobody else."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
