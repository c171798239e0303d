"""What a build changes in `out/`: compares, stages what differs, names what has to go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meshc.artifact.layout import MANIFEST
from meshc.artifact.owned import check_ours, files_named
from meshc.artifact.real import check_root
from meshc.artifact.write import JOURNAL, files_in
from meshc.assemble.memory import Record, Signature, folder_time, signature, signature_of

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.artifact.write import BundleWriter


class BuildOutput:
    """Collects the files of a build; with ``writer`` None it only compares.

    Attributes:
        changed: paths whose content is new, in the order they came.
        unchanged: how many files are as they were.
        removed: paths that the manifest before named and this one does not; known after `finish`.
        foreign: paths of files that no build has made, and that are left alone; likewise.
    """

    def __init__(self, out: Path, writer: BundleWriter | None) -> None:
        self._out = str(out)
        self._root = out
        self._writer = writer
        self._is_new = not out.exists()
        self._wanted: set[str] = set()
        self._clean: set[str] = set()
        self.changed: list[str] = []
        self.unchanged = 0
        self.removed: list[str] = []
        self.foreign: list[str] = []
        if writer is None:
            check_root(out)
            check_ours(out, JOURNAL)

    def is_untouched(self, record: Record) -> bool:
        """Whether all files of a record are on disk as they were left.

        A folder whose own time has changed is searched for files that do not belong there.
        """
        for path, left in record.files.items():
            if signature(f"{self._out}/{path}") != left:
                return False
        self.unchanged += len(record.files)
        if folder_time(f"{self._out}/{record.folder}") == record.folder_time:
            self._clean.add(record.folder)
        else:
            self._wanted.update(record.files)
        return True

    def put(self, path: str, data: bytes) -> Signature:
        """Make a file part of the output, writing it only where it differs."""
        self._wanted.add(path)
        if not self._is_new and (left := self._same(path, data)) is not None:
            self.unchanged += 1
            return left
        self.changed.append(path)
        if self._writer is None:
            return []
        return signature_of(self._writer.stage(path, data))

    def _same(self, path: str, data: bytes) -> Signature | None:
        """Return the signature of a file that has exactly these bytes."""
        full = f"{self._out}/{path}"
        # Before the content is read: if somebody changes the file after that, the next build
        # sees another signature and looks again.
        left = signature(full)
        if left is None or left[0] != len(data):
            return None
        try:
            with open(full, "rb") as file:  # noqa: PTH123, tens of thousands of them
                return left if file.read() == data else None
        except OSError:
            return None

    def finish(self, manifest: bytes) -> None:
        """Compare the manifest, find what has to go, and make everything visible at once."""
        if not self._is_new:
            self._look_for_others()
        if not self._is_new and self._same(MANIFEST, manifest) is not None:
            self.unchanged += 1
        else:
            self.changed.append(MANIFEST)
        if self._writer is None:
            return
        if self.changed:
            self._writer.commit(manifest, self.removed)
        else:
            self._writer.remove(self.removed)

    def _look_for_others(self) -> None:
        present = files_in(self._root, known=self._clean)
        others = sorted(path for path in present if path not in self._wanted)
        if not others:
            return
        named = files_named(self._root)
        self.removed = [path for path in others if path in named]
        self.foreign = [path for path in others if path not in named]

    def signed(self, record: Record) -> Record:
        """Return a record with its folder's time, which is known when everything is in place.

        A folder with a file of somebody else in it is searched each time, so that each build says
        so.
        """
        if record.folder in self._clean:
            return record
        if any(path.startswith(f"{record.folder}/") for path in self.foreign):
            return record
        return replace(record, folder_time=folder_time(f"{self._out}/{record.folder}"))
