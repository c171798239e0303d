"""Write a build into `out/` so that a reader never sees half of it.

A change is staged beside its target, becomes the truth by one rename, and is then moved into
place file by file, the manifest last.  A reader that comes in between finds the missing files in
the journal; a writer that was killed is finished by the next one.

    out/.next/     being staged; means nothing and is removed
    out/.commit/   the journal: complete; whatever lies here is newer than what lies in `out/`
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Self

from meshc.artifact.layout import MANIFEST, NODES, SERVICES
from meshc.artifact.locks import wait_for_lock
from meshc.artifact.owned import check_ours, files_named
from meshc.artifact.real import FOLDER_MODE, check_folder, check_root, link_error, make_folder
from meshc.diagnostics.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from types import TracebackType

NEXT = ".next"
JOURNAL = ".commit"
_MARK = ".made-here"
_FILE_MODE = 0o644


class BundleWriter:
    """Stages files and makes them the content of `out/` in one step.

    Use as a context manager: leaving it without `commit` leaves `out/` as it was.  Raises
    OutputError where the disk refuses.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._is_new = False
        self._stage = Path()
        self._made: set[str] = set()
        self._staged: list[str] = []
        self._lock: int | None = None

    def __enter__(self) -> Self:
        with _as_output_error(self.out):
            self._lock = self._locked()
            try:
                self._prepare()
            except BaseException:
                self._unlock()
                raise
        return self

    def _prepare(self) -> None:
        """Finish or drop what a killed writer left; nobody else is at work now."""
        check_root(self.out)
        self._is_new = not self.out.exists()
        if not self._is_new:
            check_ours(self.out, JOURNAL)
            recover(self.out)
        self._stage = (
            self.out.with_name(f".{self.out.name}{NEXT}") if self._is_new else self.out / NEXT
        )
        _drop(self._stage)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            _drop(self._stage)
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _locked(self) -> int:
        """Hold the folder that holds `out/`; it exists before and after `out/` itself does."""
        self.out.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        lock = os.open(self.out.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            wait_for_lock(lock, fcntl.LOCK_EX, self.out.parent)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def stage(self, path: str, data: bytes) -> os.stat_result:
        """Write a file that will appear with the commit; tells what it looks like now.

        Size, time and inode stay with it when it is moved, so nobody has to look again, at a
        time when the next writer may have replaced it.
        """
        folder, _, _ = path.rpartition("/")
        try:
            if not self._made:
                self._begin_stage()
            if folder not in self._made:
                make_folder(self._stage, folder)
                self._made.add(folder)
            descriptor = os.open(
                f"{self._stage}/{path}",
                os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC,
                _FILE_MODE,
            )
            try:
                _write_all(descriptor, data)
                status = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _output_error(self.out, error) from error
        self._staged.append(path)
        return status

    def _begin_stage(self) -> None:
        """Make the folder in which everything is staged, with the mark that it is ours."""
        self._stage.mkdir(FOLDER_MODE)
        self._made.add("")
        if not self._is_new:
            (self._stage / _MARK).write_bytes(_mark_of(self._stage))

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files that the manifest, which stays as it is, does not name."""
        with _as_output_error(self.out):
            remove_files(self.out, paths)

    def commit(self, manifest: bytes, removed: Iterable[str] = ()) -> None:
        """Make all staged files and the manifest visible, and remove files that no node needs."""
        with _as_output_error(self.out):
            self.stage(MANIFEST, manifest)
            if self._is_new:
                self._stage.rename(self.out)
                return
            for folder in self._made - {""}:
                check_folder(self.out, folder)
            journal = self.out / JOURNAL
            self._stage.rename(journal)
            # Before the rest moves in: what is removed may stand where a folder has to be.
            remove_files(self.out, removed)
            _apply(self.out, journal, self._staged)


@contextlib.contextmanager
def no_writer(out: Path) -> Iterator[None]:
    """Let writers wait until what has to read many files of one build is done with it.

    Raises:
        OutputError: there is no such folder, or it cannot be locked.
    """
    with _as_output_error(out, "read"):
        lock = os.open(out.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _as_output_error(out, "read"):
            wait_for_lock(lock, fcntl.LOCK_SH, out.parent)
        yield
    finally:
        os.close(lock)


def _drop(folder: Path) -> None:
    """Remove a folder of a writer's own, or a link in its place, as far as that is possible."""
    with contextlib.suppress(OSError):
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)


def _mark_of(folder: Path) -> bytes:
    """Return by what a journal is known as one that a writer has made here.

    No checkout and no copy of a folder brings its own number along.
    """
    return f"{folder.stat().st_ino}\n".encode()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _apply(out: Path, journal: Path, paths: Iterable[str]) -> None:
    """Move the journal's files into place, the manifest last, then drop the journal."""
    made: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        if folder and folder not in made:
            make_folder(out, folder)
            made.add(folder)
        if path != MANIFEST:
            os.rename(f"{journal}/{path}", f"{out}/{path}")  # noqa: PTH104, tens of thousands
    (journal / MANIFEST).rename(out / MANIFEST)
    shutil.rmtree(journal)


def is_journal(journal: Path) -> bool:
    """Whether a folder is the journal that a writer has made in just this place."""
    if journal.is_symlink():
        return False
    try:
        return (journal / _MARK).read_bytes() == _mark_of(journal)
    except OSError:
        return False


def recover(out: Path) -> None:
    """Finish what a killed writer had committed; what it had only staged is dropped.

    Raises:
        OutputError: there is a journal that no writer has made here.
    """
    journal = out / JOURNAL
    if journal.is_symlink() or ((journal / MANIFEST).exists() and not is_journal(journal)):
        raise OutputError(
            f'"{journal}" was not made by a build of meshc in this folder',
            hint="remove it; a checkout or a copy must not bring one",
        )
    if (journal / MANIFEST).is_file():
        # It may have been killed before it had removed what only the older one names.
        remove_files(out, files_named(out) - files_named(journal))
        _apply(out, journal, [*_files_below(journal), MANIFEST])
    elif journal.is_dir():
        shutil.rmtree(journal)  # the manifest was the last to be moved


def _files_below(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {MANIFEST, _MARK}
    )


def files_in(out: Path, *, known: Container[str] = ()) -> Iterator[str]:
    """Yield all files where generated ones lie below `out/`, as paths relative to it.

    ``known`` are folders of one node or service into which the caller need not look.

    Raises:
        OutputError: one of the folders is a link, or cannot be read.
    """
    for part in (NODES, SERVICES):
        for entry in _entries(out, part):
            path = f"{part}/{entry.name}"
            if entry.is_symlink():
                raise link_error(out / path)
            if path not in known:
                yield from _files_at(out, path, entry)


def _files_at(out: Path, path: str, entry: os.DirEntry[str]) -> Iterator[str]:
    if not entry.is_dir(follow_symlinks=False):
        yield path
        return
    for inner in _entries(out, path):
        yield from _files_at(out, f"{path}/{inner.name}", inner)


def _entries(out: Path, folder: str) -> list[os.DirEntry[str]]:
    try:
        if not check_folder(out, folder):
            return []
        with os.scandir(f"{out}/{folder}") as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _output_error(out, error) from error


def remove_files(out: Path, paths: Iterable[str]) -> None:
    """Remove files and the folders that this leaves empty."""
    folders: set[Path] = set()
    for path in paths:
        target = out / path
        if check_folder(out, path.rpartition("/")[0]):
            target.unlink(missing_ok=True)
            folders.add(target.parent)
    for folder in sorted(folders, reverse=True):
        with contextlib.suppress(OSError):  # something of somebody else's is in it
            folder.rmdir()


@contextlib.contextmanager
def _as_output_error(out: Path, what: str = "write") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _output_error(out, error, what) from error


def _output_error(out: Path, error: OSError, what: str = "write") -> OutputError:
    return OutputError(
        f'cannot {what} "{out}": {error.strerror or error}',
        hint="nothing was changed in it"
        if not (out / JOURNAL).exists()
        else "the change is complete but not everything is in its place; build again to finish it",
    )
