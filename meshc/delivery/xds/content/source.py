"""Where the server's bundles come from.

One generation replaces another as a whole, and only when all of its files that anybody asks for
can be read; whatever is wrong with the new one, the old one goes on being served.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from meshc.artifact.layout import MANIFEST
from meshc.artifact.manifest import Manifest
from meshc.artifact.published import INDEX_PATH
from meshc.artifact.write import JOURNAL
from meshc.delivery.xds.content.bundles import ManifestBundles, changed_nodes
from meshc.delivery.xds.content.watching import FolderWatch
from meshc.diagnostics.errors import BundleError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from meshc.delivery.xds.content.bundles import NodeBundles
    from meshc.delivery.xds.content.library import Library
    from meshc.delivery.xds.content.rewrite import Variant
    from meshc.delivery.xds.settings import ServeSettings

_TRIES = 20
_PAUSE_S = 0.05


class Source(Protocol):
    """Gives out generations of a bundle."""

    def load(self, previous: NodeBundles | None) -> NodeBundles | None:
        """Return the newest generation, None where it is the one before.

        Raises:
            MeshcError: there is none that is complete.
        """

    def forget(self) -> None:
        """Read everything at the next load, as what was read last could not be used."""

    def watch(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` on changes, from any thread, where the source can tell."""

    def close(self) -> None:
        """Stop watching."""


class DirectorySource:
    """A bundle in a folder, such as `out/`, also while it is being rewritten."""

    def __init__(self, directory: Path, library: Library) -> None:
        self.directory = directory
        self._library = library
        self._seen: object = None
        self._watch = FolderWatch(directory, {MANIFEST, JOURNAL})

    def load(self, previous: NodeBundles | None) -> ManifestBundles | None:
        """Return the newest generation, None where it is the one before."""
        self._watch.follow()
        seen = self._identity()
        if previous is not None and seen == self._seen:
            return None
        manifest = Manifest.parse(self._read(MANIFEST))
        self._seen = seen
        if previous is not None and manifest.generation == previous.generation:
            return None
        return ManifestBundles(manifest, self._read, self._library, previous)

    def forget(self) -> None:
        """Read everything at the next load."""
        self._seen = None

    def watch(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` when the folder changes."""
        self._watch.start(notify)

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    def _identity(self) -> object:
        for place in self._places(MANIFEST):
            try:
                status = place.stat()
            except OSError:
                continue
            return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        return None

    def _places(self, path: str) -> tuple[Path, Path]:
        return self.directory / JOURNAL / path, self.directory / path

    def _read(self, path: str) -> bytes:
        for place in self._places(path):
            try:
                return place.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise BundleError(f'cannot read "{place}": {error.strerror}') from error
        raise BundleError(
            f'"{self.directory / path}" is missing',
            hint="build first: meshc build" if path == MANIFEST else "build again",
        )


def open_source(settings: ServeSettings, library: Library) -> Source:
    """Return the source that the settings name: a bundle, a published folder, or Consul."""
    if settings.consul is not None:
        from meshc.delivery.xds.content.consul_source import ConsulSource  # noqa: PLC0415, who has one

        return ConsulSource(settings.source, settings.consul, library)
    directory = Path(settings.source)
    if (directory / INDEX_PATH).exists():
        from meshc.delivery.xds.content.published import FolderSource  # noqa: PLC0415, the same

        return FolderSource(directory, library)
    return DirectorySource(directory, library)


def prepare_changed(
    old: NodeBundles, new: NodeBundles, wanted: Collection[tuple[str, Variant]]
) -> set[str]:
    """Make the snapshots of the nodes that change; return which these are.

    Raises:
        MeshcError: one of them cannot be made.
    """
    changed = changed_nodes(old, new, {node for node, _ in wanted})
    prepare(new, [one for one in wanted if one[0] in changed])
    return changed


def prepare(bundles: NodeBundles, wanted: Iterable[tuple[str, Variant]]) -> None:
    """Make the snapshots that are needed at once; waits a second where a writer moves files.

    Raises:
        BundleError: a file is still missing, or not what the manifest names.
    """
    for node, variant in wanted:
        for remaining in reversed(range(_TRIES)):
            try:
                bundles.hold(node, variant)
                break
            except UnknownNameError:
                break  # it left the mesh; whoever is connected for it keeps what it has
            except BundleError:
                if not remaining:
                    raise
                time.sleep(_PAUSE_S)
