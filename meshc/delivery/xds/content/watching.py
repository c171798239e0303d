"""Hears of changes in a folder at once, where inotify can be had.

Without it, and where something is overlooked, the folder is looked at now and then all the same.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

_OF_NO_INTEREST = frozenset({"opened", "closed_no_write"})


class FolderWatch:
    """Watches a folder for some names, and, where it is a link, for another one in its place."""

    def __init__(self, folder: Path, names: Collection[str]) -> None:
        self._folder = folder
        self._names = frozenset(names)
        self._notify: Callable[[], None] | None = None
        self._watched = ""
        self._observer: Any = None

    def start(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` on changes, from another thread."""
        self._notify = notify
        self._watch(notify)

    def follow(self) -> None:
        """Watch what stands behind the folder's name by now."""
        if self._notify is not None and os.path.realpath(self._folder) != self._watched:
            self.close()
            self._watch(self._notify)

    def close(self) -> None:
        """Stop watching."""
        observer, self._observer = self._observer, None
        if observer is not None:
            with contextlib.suppress(RuntimeError):  # it has not begun
                observer.stop()

    def _watch(self, notify: Callable[[], None]) -> None:
        from watchdog.events import FileSystemEvent, FileSystemEventHandler  # noqa: PLC0415, memory
        from watchdog.observers.inotify import InotifyObserver  # noqa: PLC0415, the same

        class Handler(FileSystemEventHandler):
            def __init__(self, names: frozenset[str], notify: Callable[[], None]) -> None:
                self._names = names
                self._notify = notify

            def dispatch(self, event: FileSystemEvent) -> None:
                places = (os.fsdecode(event.src_path), os.fsdecode(event.dest_path))
                if event.event_type not in _OF_NO_INTEREST and any(
                    os.path.basename(place) in self._names  # noqa: PTH119, called often
                    for place in places
                ):
                    self._notify()

        self._watched = os.path.realpath(self._folder)
        wanted = {self._watched: self._names}
        if self._folder.is_symlink():
            wanted[os.path.realpath(self._folder.parent)] = frozenset({self._folder.name})
        with contextlib.suppress(OSError):  # no instances are left, or the folder is not there
            self._observer = InotifyObserver()
            for folder, names in wanted.items():
                self._observer.schedule(Handler(names, notify), folder, recursive=False)
            self._observer.start()
            return
        self.close()
