"""Read bundles back, verified: complete, unaltered, of one build."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from meshc.artifact.layout import MANIFEST
from meshc.artifact.manifest import Manifest, file_digest
from meshc.artifact.write import JOURNAL, is_journal
from meshc.diagnostics.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Found = TypeVar("_Found")

_TRIES = 20
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBundle:
    """All files of one node: path on the host → bytes, from one generation.

    ``origins`` is what `origin_of` reads, for this node alone; ``drain_time`` is how long a
    replaced listener may live, as Envoy writes durations.
    """

    node: str
    generation: str
    files: Mapping[str, bytes]
    origins: Mapping[str, Any] = field(default_factory=dict)
    drain_time: str = ""


class BundleStore(Protocol):
    """Where bundles come from."""

    def manifest(self) -> Manifest:
        """Return the newest complete manifest; raises BundleError where there is none."""

    def node(self, name: str) -> NodeBundle:
        """Return a node's files, verified; raises BundleError where they are not all there."""


class DirectoryStore:
    """A bundle in a directory, such as `out/`, also while it is being rewritten."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def manifest(self) -> Manifest:
        """Return the newest complete manifest."""
        return Manifest.parse(self._read(MANIFEST))

    def node(self, name: str) -> NodeBundle:
        """Return a node's files; waits up to a second where a writer is just moving them."""
        for remaining in reversed(range(_TRIES)):
            manifest = self.manifest()
            wanted = manifest.node_files(name)
            try:
                files = {path: self.file(*source) for path, source in wanted.items()}
            except BundleError:
                if not remaining:
                    raise
                time.sleep(_PAUSE_S)
                continue
            return NodeBundle(
                node=name,
                generation=manifest.generation,
                files=files,
                origins=manifest.node_origins(name),
                drain_time=manifest.drain_time,
            )
        raise AssertionError  # the loop returns or raises

    def file(self, path: str, digest: str) -> bytes:
        """Return a file's bytes; raises BundleError where they are not what the digest says."""
        data = self._read(path)
        if file_digest(data) != digest:
            raise BundleError(
                f'"{self.directory / path}" is not the file that the manifest names',
                hint="build again; whoever edits files in the output must edit specs instead",
            )
        return data

    def size(self, path: str) -> int:
        """Return how many bytes a file has, without reading it."""
        return self._at(path, lambda place: os.stat(place).st_size)  # noqa: PTH116, called often

    def _read(self, path: str) -> bytes:
        return self._at(path, lambda place: Path(place).read_bytes())

    def _at(self, path: str, look: Callable[[str], _Found]) -> _Found:
        """Look at a file in the journal if it is still there, else at its place.

        A journal that no writer has made here, such as one in a checkout, counts for nothing.
        """
        places = [f"{self.directory}/{path}"]
        if is_journal(self.directory / JOURNAL):
            places.insert(0, f"{self.directory}/{JOURNAL}/{path}")
        for place in places:
            try:
                return look(place)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise BundleError(f'cannot read "{place}": {error.strerror}') from error
        raise BundleError(
            f'"{self.directory / path}" is missing',
            hint="build first: meshc build" if path == MANIFEST else "build again",
        )
