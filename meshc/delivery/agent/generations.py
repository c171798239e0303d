"""Generations on this host's disk: what was fetched, kept through crashes and power cuts.

A file that several generations share is stored once, under its digest, so a change of one file
costs one file.  A generation is a list of digests; its name is the digest of that list, so it is
the same for every build in which nothing changes for this node.

    <state>/generations/<digest>.json      the list, with where it came from
    <state>/generations/<digest>.file      a file
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NewType

from meshc.artifact.manifest import file_digest
from meshc.artifact.store import NodeBundle
from meshc.delivery.agent.durable import NEW, make_folder, sync_folder, write_file
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

Generation = NewType("Generation", str)
"""Digest of a node's files, with their paths."""

_LIST, _FILE = ".json", ".file"
_PRIVATE = 0o600
_SHORT = 12


def generation_of(digests: Mapping[str, str]) -> Generation:
    """Name a set of files, given the digest of each by path."""
    lines = "".join(f"{path} {digests[path]}\n" for path in sorted(digests))
    return Generation(hashlib.sha256(lines.encode()).hexdigest())


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the digest of each file."""
    return {path: file_digest(data) for path, data in files.items()}


def short(generation: str) -> str:
    """Return what people read and type of a generation's name."""
    return generation[:_SHORT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A generation as it lies on disk."""

    generation: Generation
    build: str
    digests: Mapping[str, str]
    origins: Mapping[str, Any] = field(default_factory=dict)
    drain_time: str = ""
    fetched: float = 0.0


class Generations:
    """The store; damaged entries count as missing, and nothing here ever touches the target."""

    def __init__(self, state: Path, node: str) -> None:
        self.folder = state / "generations"
        self._node = node
        self._whole: dict[str, tuple[int, int, int] | None] = {}

    def prepare(self) -> None:
        """Make the folder and clear away what a killed process was writing."""
        with _as_delivery_error(self.folder):
            make_folder(self.folder, 0o700)
            for entry in os.scandir(self.folder):
                if entry.name.endswith(NEW):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(entry.path)  # noqa: PTH108

    def add(
        self, bundle: NodeBundle, *, fetched: float, digests: Mapping[str, str] | None = None
    ) -> Generation:
        """Store a bundle; when this returns, a power cut does not lose it.

        ``digests`` are those of its files, where they are known.
        """
        digests = digests or digests_of(bundle.files)
        generation = generation_of(digests)
        content = {
            "node": bundle.node,
            "build": bundle.generation,
            "files": digests,
            "origins": bundle.origins,
            "drain_time": bundle.drain_time,
            "fetched": fetched,
        }
        with _as_delivery_error(self.folder):
            whole = {}
            for path, digest in digests.items():
                place = self.folder / f"{digest}{_FILE}"
                if not self._is_whole(digest, place):
                    write_file(place, bundle.files[path], mode=_PRIVATE)
                whole[digest] = _trace(place)
            self._whole = whole
            text = json.dumps(content, sort_keys=True).encode()
            write_file(self.folder / f"{generation}{_LIST}", text, mode=_PRIVATE)
            sync_folder(self.folder)
        return generation

    def _is_whole(self, digest: str, place: Path) -> bool:
        """Whether a file is stored already; what was seen to be whole is not read once more."""
        trace = self._whole.get(digest)
        if trace is not None and trace == _trace(place):
            return True
        return self.file(digest) is not None

    def file(self, digest: str) -> bytes | None:
        """Return a stored file, if it is there and what its name says."""
        try:
            data = (self.folder / f"{digest}{_FILE}").read_bytes()
        except (OSError, ValueError):  # the latter: no name of a file
            return None
        return data if file_digest(data) == digest else None

    def describe(self, generation: str) -> Stored | None:
        """Return what is known about a generation, without its files."""
        try:
            return self._parsed(generation, (self.folder / f"{generation}{_LIST}").read_bytes())
        except OSError:
            return None

    def _parsed(self, generation: str, text: bytes) -> Stored | None:
        try:
            content = json.loads(text)
            digests = {str(path): str(digest) for path, digest in content["files"].items()}
            if content["node"] != self._node or generation_of(digests) != generation:
                return None
            return Stored(
                generation=Generation(generation),
                build=str(content["build"]),
                digests=digests,
                origins=dict(content["origins"]),
                drain_time=str(content["drain_time"]),
                fetched=float(content["fetched"]),
            )
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            return None

    def load(self, generation: str) -> NodeBundle | None:
        """Return a whole generation; None where anything of it is missing or damaged."""
        stored = self.describe(generation)
        if stored is None:
            return None
        files: dict[str, bytes] = {}
        for path, digest in stored.digests.items():
            data = self.file(digest)
            if data is None:
                return None
            files[path] = data
        return NodeBundle(
            node=self._node,
            generation=stored.build,
            files=files,
            origins=stored.origins,
            drain_time=stored.drain_time,
        )

    def all(self) -> tuple[Stored, ...]:
        """All readable generations, the newest first."""
        try:
            names = [entry.name for entry in os.scandir(self.folder)]
        except OSError:
            return ()
        lists = (name.removesuffix(_LIST) for name in names if _is_list(name))
        return _newest_first(self.describe(name) for name in lists)

    def find(self, text: str) -> Generation:
        """Return the generation, or the build, whose name starts like this.

        Raises:
            DeliveryError: there is none, or more than one.
        """
        found = {
            one.generation
            for one in self.all()
            if one.generation.startswith(text) or one.build.startswith(text)
        }
        if len(found) == 1:
            return found.pop()
        kept = ", ".join(short(one.generation) for one in self.all()) or "none"
        what = "no generation" if not found else "more than one generation"
        raise DeliveryError(f'{what} here starts with "{text}"', hint=f"kept are: {kept}")

    def prune(self, keep: int, needed: Collection[str]) -> None:
        """Forget all but the newest generations and those that are needed."""
        with _as_delivery_error(self.folder):
            # Somebody's folder is none of ours, and keeps nothing else from going.
            there = [
                entry.name
                for entry in os.scandir(self.folder)
                if not entry.is_dir(follow_symlinks=False)
            ]
            # What cannot be read now must not count as missing: then nothing is forgotten today.
            texts = {name: (self.folder / name).read_bytes() for name in there if _is_list(name)}
            stored = _newest_first(
                self._parsed(name.removesuffix(_LIST), text) for name, text in texts.items()
            )
            kept = [one for one in stored if one.generation in needed]
            kept += [one for one in stored if one not in kept][: max(0, keep - len(kept))]
            names = {f"{one.generation}{_LIST}" for one in kept}
            names |= {f"{digest}{_FILE}" for one in kept for digest in one.digests.values()}
            # Lists go before files, and for good: one without its files is a damaged generation.
            doomed = [name for name in there if name not in names]
            lists = [name for name in doomed if _is_list(name)]
            self._remove(lists)
            if lists:
                sync_folder(self.folder)
            self._remove(name for name in doomed if name not in lists)

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.folder / name)  # noqa: PTH108


def _is_list(name: str) -> bool:
    return name.endswith(_LIST)


def _newest_first(found: Iterable[Stored | None]) -> tuple[Stored, ...]:
    stored = [one for one in found if one is not None]
    return tuple(sorted(stored, key=lambda one: (-one.fetched, one.generation)))


def _trace(place: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is replaced or written to."""
    try:
        status = os.stat(place)  # noqa: PTH116
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


@contextlib.contextmanager
def _as_delivery_error(folder: Path) -> Any:
    try:
        yield
    except OSError as error:
        raise DeliveryError(
            f'cannot keep generations in "{folder}": {error.strerror or error}',
            hint="see whether the disk is full or read-only; what Envoy runs is not touched",
        ) from error
