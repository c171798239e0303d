"""A folder as the place of publications, for rsync, a web server or a shared disk.

    index.json  nodes/<node>.json  blobs/<xx>/<digest>  trash/<order>.<n>.json
    .new/       what is being written; means nothing
    .lock       held by the one publisher

Every file appears by a rename, when its bytes and all that it refers to have reached the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from typing import TYPE_CHECKING

from meshc.artifact.publication import INDEX, TRASH, trash_order
from meshc.artifact.published import INDEX_PATH, blob_path, pointer_path
from meshc.artifact.real import FOLDER_MODE, check_folder, check_root, make_folder
from meshc.delivery.publish.place import BLOBS, NODES
from meshc.delivery.publish.plan import PublishConflictError, PublishError
from meshc.diagnostics.names import is_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from meshc.delivery.publish.place import Entry

_NEW, _LOCK = ".new", ".lock"
_JSON = ".json"
_TOGETHER = 256
"""Files that are written before the first of them is renamed, so that few calls sync many."""
_SYNCED_ONE_BY_ONE = 32
_MODE = 0o644


class Folder:
    """A place in the file system."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = str(directory)
        self._real: set[Path] = set()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other publishers out; one that comes while another is at work is refused."""
        check_root(self.directory)
        with self._errors("write"):
            self.directory.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(self.directory / _LOCK, flags, _MODE)
        try:
            with self._errors("write"):
                self._take(lock)
                check_folder(self.directory, _NEW)
                shutil.rmtree(self.directory / _NEW, ignore_errors=True)
            yield
        finally:
            shutil.rmtree(self.directory / _NEW, ignore_errors=True)
            os.close(lock)

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PublishConflictError(
                f"somebody else is publishing to {self.name}",
                hint="publish again when that is over, if this is the newer bundle",
            ) from error

    def get(self, keys: Sequence[str]) -> Iterator[Entry]:
        """Yield what lies at keys."""
        for key in keys:
            with self._errors("read"):
                try:
                    yield key, self._path(key).read_bytes()
                except (FileNotFoundError, NotADirectoryError):
                    yield key, None

    def names(self, folder: str) -> list[str]:
        """Return what lies in a folder; files that no publisher put there are none of it."""
        with self._errors("read"):
            if not check_folder(self.directory, folder):
                return []
            entries = os.listdir(self.directory / folder)  # noqa: PTH208, ten thousand names
        names = [entry.removesuffix(_JSON) for entry in entries if entry.endswith(_JSON)]
        if folder == TRASH:
            return [name for name in names if trash_order(name) is not None]
        return [name for name in names if is_name(name)]

    def write(self, entries: Iterable[Entry]) -> None:
        """Put and remove; all of it has reached the disk when this returns."""
        with self._errors("write"):
            waiting: list[tuple[Path, Path]] = []
            folders: set[Path] = set()
            for key, data in entries:
                place = self._path(key)
                if data is None:
                    with contextlib.suppress(FileNotFoundError):
                        self._check_folder_of(place)
                        place.unlink()
                        folders.add(place.parent)
                    continue
                self._make_folder_of(place)
                waiting.append((self._draft(len(waiting), data), place))
                if len(waiting) == _TOGETHER:
                    folders |= _move(waiting)
            folders |= _move(waiting)
            _sync_folders(folders)

    def _check_folder_of(self, place: Path) -> None:
        if place.parent != self.directory:
            check_folder(self.directory, place.parent.relative_to(self.directory).as_posix())

    def _make_folder_of(self, place: Path) -> None:
        """Make the folder that a file goes to, unless it was there a moment ago."""
        folder = place.parent
        if folder not in self._real:
            if folder != self.directory:
                make_folder(self.directory, folder.relative_to(self.directory).as_posix())
            self._real.add(folder)

    def swap(self, key: str, old: bytes | None, new: bytes) -> None:
        """Replace what lies at a key, only if it still is what it was."""
        [(_, there)] = self.get([key])
        if there != old:
            raise PublishConflictError(
                f"somebody has changed {self.name} without asking for its lock",
                hint="let publications be written by meshc publish alone",
            )
        self.write([(key, new)])

    def _draft(self, number: int, data: bytes) -> Path:
        folder = self.directory / _NEW
        folder.mkdir(FOLDER_MODE, exist_ok=True)
        draft = folder / str(number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(draft, flags, _MODE)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        return draft

    def _path(self, key: str) -> Path:
        folder, _, name = key.rpartition("/")
        if key == INDEX:
            return self.directory / INDEX_PATH
        if folder == BLOBS:
            return self.directory / blob_path(name)
        if folder == NODES:
            return self.directory / pointer_path(name)
        return self.directory / f"{key}{_JSON}"

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PublishError(
                f'cannot {what} "{self.name}": {error.strerror or error}',
                hint="what hosts read there is whole; publish again when the cause is gone",
            ) from error


def _move(waiting: list[tuple[Path, Path]]) -> set[Path]:
    """Let drafts reach the disk and rename them; returns the folders that have changed."""
    if len(waiting) > _SYNCED_ONE_BY_ONE:
        os.sync()
    else:
        for draft, _ in waiting:
            _sync(draft, os.O_RDONLY)
    folders = set()
    for draft, place in waiting:
        os.rename(draft, place)  # noqa: PTH104, tens of thousands
        folders.add(place.parent)
    waiting.clear()
    return folders


def _sync_folders(folders: set[Path]) -> None:
    if len(folders) > _SYNCED_ONE_BY_ONE:
        os.sync()
        return
    for folder in folders | {folder.parent for folder in folders}:
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
