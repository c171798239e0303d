"""A bundle in a folder: the output of a build, a checkout, or whatever a tool keeps in step.

Changes are noticed by inotify where it is to be had, and by looking at the manifest now and then
in any case: a folder that was replaced, or lies on a network, sends no events.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from meshc.artifact.layout import MANIFEST
from meshc.artifact.published import INDEX_PATH, MAX_BLOB, MAX_POINTER, blob_path, pointer_path
from meshc.artifact.write import JOURNAL
from meshc.delivery.agent.sources import SourceError
from meshc.delivery.agent.sources.published import pointer_from, read_published
from meshc.delivery.agent.sources.reading import read_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchdog.observers.inotify import InotifyObserver

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.settings import AgentSettings


class DirectorySource:
    """A source in a folder; a writer may be at work in it at any time.

    The folder may be the output of a build or a publication; in that the node's pointer is what
    changes last, and what is looked at instead of the manifest.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self.order: int | None = None
        self.unwatched = ""
        self.directory = Path(settings.source.removeprefix("file://")).absolute()
        self._node = settings.node
        self._pointer = pointer_path(settings.node)
        self._max_file = settings.max_file
        self._max_manifest = settings.max_manifest
        self._seen: object = None
        self._observer: InotifyObserver | None = None
        self._watched: object = None
        self._notify: Callable[[float], None] | None = None

    def watch(self, notify: Callable[[float], None]) -> str:
        """Watch the folder itself, or that of the pointers: what changes last lies in it."""
        self._watch(notify)
        self._notify = notify  # not before: a fetch meanwhile would set up a second watch
        return self.unwatched

    def _watch(self, notify: Callable[[float], None]) -> None:
        self.unwatched = self._try_to_watch(notify)

    def _try_to_watch(self, notify: Callable[[float], None]) -> str:
        from watchdog.events import FileSystemEvent, FileSystemEventHandler  # noqa: PLC0415
        from watchdog.observers.inotify import InotifyObserver  # noqa: PLC0415, memory

        folder = self._watchable()
        names = {MANIFEST, JOURNAL, INDEX_PATH, os.path.basename(self._pointer)}  # noqa: PTH119
        source = self

        class Handler(FileSystemEventHandler):
            def dispatch(self, event: FileSystemEvent) -> None:
                places = (os.fsdecode(event.src_path), os.fsdecode(event.dest_path))
                is_ours = event.event_type not in {"opened", "closed_no_write"} and any(
                    os.path.basename(place) in names  # noqa: PTH119, called often
                    for place in places
                )
                at = time.monotonic()
                if is_ours and source.is_news():
                    notify(at)

        observer = None
        try:
            observer = InotifyObserver()  # takes an inotify instance already
            # A watch on a link would hear nothing of the folder behind it.
            observer.schedule(Handler(), os.path.realpath(folder), recursive=False)
            observer.start()
        except OSError as error:
            if observer is not None:
                with contextlib.suppress(RuntimeError):
                    observer.stop()
            return f"inotify is not to be had: {error.strerror or error}"
        self._observer = observer
        self._watched = _identity(folder)
        return ""

    def _watchable(self) -> Path:
        """Return the folder of what changes last."""
        return (self.directory / self._pointer).parent if self._is_publication() else self.directory

    def _is_publication(self) -> bool:
        # Not `Path.exists`, which would raise where looking is not allowed.
        return any(os.path.exists(self.directory / name) for name in (self._pointer, INDEX_PATH))  # noqa: PTH110

    def fetch(self, known: str | None) -> NodeBundle | None:
        """Return the newest bundle; looks only at the newest file's identity where that will do."""
        self._watch_again()
        seen = self._newest()
        if known is not None and seen is not None and seen == self._seen:
            return None
        self._seen = seen
        try:
            if self._is_publication():
                return self._published(known)
            self.order = None
            text = self._read(MANIFEST, self._max_manifest)
            return read_bundle(text, self._node, known, self._file)
        except BaseException:
            self._seen = None
            raise

    def _published(self, known: str | None) -> NodeBundle | None:
        if not os.path.exists(self.directory / self._pointer):  # noqa: PTH110, as above
            raise SourceError(
                f'"{self.directory}" has no files for node "{self._node}" (any more): '
                f'there is no "{self._pointer}" in it',
                hint="look at --node; has the node left the mesh?",
            )
        pointer = pointer_from(self._read(self._pointer, MAX_POINTER), self._node)
        self.order = pointer.order
        return read_published(
            pointer,
            known,
            held=lambda _digest: None,  # as near as what the host has
            blob=lambda digest: self._read(blob_path(digest), MAX_BLOB),
            max_file=self._max_file,
        )

    def is_news(self) -> bool:
        """Whether the newest file is another one than that which was, or is being, read.

        A manifest's move out of the journal is none: it would cut short the delivery of what it
        names.
        """
        return self._newest() != self._seen

    def _newest(self) -> object:
        """Return the identity of pointer or manifest, which moving it does not change."""
        if self._is_publication():
            return _identity(self.directory / self._pointer)
        found = (_identity(place / MANIFEST) for place in self._places())
        return next((identity for identity in found if identity is not None), None)

    def close(self) -> None:
        """Stop watching."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()

    def _watch_again(self) -> None:
        """Watch the folder that has this name now; a replaced one sends no more events."""
        if self._notify is None:
            return
        identity = _identity(self._watchable())
        if identity is None or (self._observer is not None and identity[:2] == self._watched_id()):
            return
        self.close()
        self._watch(self._notify)

    def _watched_id(self) -> object:
        watched = self._watched
        return watched[:2] if isinstance(watched, tuple) else None

    def _places(self) -> tuple[Path, Path]:
        """Where a file may lie, the newer first: a writer moves files out of its journal."""
        return self.directory / JOURNAL, self.directory

    def _file(self, path: str, digest: str) -> bytes:
        del digest
        return self._read(path, self._max_file)

    def _read(self, path: str, limit: int) -> bytes:
        for place in self._places():
            try:
                data = _read_plain(place / path, limit)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise SourceError(f'cannot read "{place / path}": {error.strerror}') from error
            if len(data) > limit:
                raise SourceError(f'"{place / path}" is larger than {limit} bytes')
            return data
        if not os.path.isdir(self.directory):  # noqa: PTH112, which lets other errors through
            raise SourceError(
                f'the source "{self.directory}" is not there',
                hint="is it mounted, checked out, spelt right? It is the output of meshc build",
            )
        raise SourceError(
            f'"{self.directory / path}" is missing',
            is_incomplete=True,
            hint="is this the output of meshc build?" if path == MANIFEST else "build again",
        )


def _read_plain(place: Path, limit: int) -> bytes:
    """Return a file's bytes, at most one more than the limit.

    A pipe is refused: whoever opened or read it would wait for a writer, perhaps for ever.
    """
    descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SourceError(f'"{place}" is not a plain file')
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(limit + 1)
    finally:
        os.close(descriptor)


def _identity(path: Path) -> tuple[int, int, int, int] | None:
    """Return what changes when a file is replaced or written to."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
