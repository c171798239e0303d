"""What earlier builds learnt, kept in the user's cache folder; forgetting is always allowed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

import meshc
from meshc.compile.resources import digest_of

_DIGEST_BYTES = 16
_SEAL_BYTES = 32
_KEPT_DIGESTS = 500_000
_PRIVATE = 0o700
_OTHERS = 0o022


@functools.cache
def tool_key() -> str:
    """Identity of this very code, so that a changed meshc never trusts an older one's results."""
    root = Path(meshc.__file__).parent
    facts = [meshc.__version__]
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".py", ".j2", ".binpb", ".xz", ".zlib", ".z")):
                status = os.stat(f"{folder}/{name}")  # noqa: PTH116, a hundred of them at each start
                facts.append(f"{folder}/{name}:{status.st_size}:{status.st_mtime_ns}")
    return digest_of("\n".join(facts).encode())


Signature = list[int]
"""Size, time of change and inode of a file: equal means untouched.  Empty: not known."""


@dataclass(frozen=True, slots=True)
class Record:
    """One service's or node's files as the last build left them.

    ``key`` is the digest of all that they depend on, ``gate`` the version of the Envoy that
    accepted them or empty, ``line`` their line in the manifest, ``origins`` the line about their
    places in the specs, ``files`` path → signature.  ``folder`` holds nothing but these files as
    long as its own ``folder_time`` is the same.
    """

    key: str
    gate: str
    line: str
    origins: str
    files: dict[str, Signature]
    folder: str
    folder_time: int


def signature(path: str) -> Signature | None:
    """Return the signature of a file, None where there is none; links are not followed."""
    try:
        return signature_of(os.lstat(path))
    except OSError:
        return None


def signature_of(status: os.stat_result) -> Signature:
    """Return the signature in a file's status."""
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def folder_time(path: str) -> int:
    """When something was last added to or removed from a folder; zero where there is none."""
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return 0


class DigestSet:
    """Digests of resources that passed a check, for ever true under the set's key."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: set[bytes] = set()
        self._new: list[bytes] = []
        if path is not None:
            data = _read(path)
            self._known = {
                data[start : start + _DIGEST_BYTES] for start in range(0, len(data), _DIGEST_BYTES)
            }

    def __contains__(self, digest: str) -> bool:
        return bytes.fromhex(digest) in self._known

    def add(self, digest: str) -> None:
        """Remember a digest."""
        raw = bytes.fromhex(digest)
        if raw not in self._known:
            self._known.add(raw)
            self._new.append(raw)

    def save(self) -> None:
        """Write what was added; a set that has grown too large starts again."""
        if self._path is None or not self._new:
            return
        kept = self._known if len(self._known) <= _KEPT_DIGESTS else self._new
        _write(self._path, b"".join(sorted(kept)))


@dataclass(slots=True)
class ParsedTexts:
    """Data that a text parses to, by its digest; only what this build asked for is kept."""

    known: dict[str, Any] = field(default_factory=dict)
    used: dict[str, Any] = field(default_factory=dict)
    is_changed: bool = False

    def get(self, digest: str) -> Any | None:
        """Return the parsed data, or None."""
        data = self.known.get(digest)
        if data is not None:
            self.used[digest] = data
        return data

    def put(self, digest: str, data: Any) -> None:
        """Remember the data of a text without findings."""
        self.used[digest] = data
        self.is_changed = True


class BuildMemory:
    """The cache of one output folder, and the digest sets that all builds share."""

    def __init__(self, folder: Path | None, *, out: Path, envoy_schema: str) -> None:
        self._folder = folder
        self.nodes: dict[str, Record] = {}
        self.services: dict[str, Record] = {}
        self.parsed = ParsedTexts()
        self._name = digest_of(str(out.absolute()).encode())
        self.checked = DigestSet(self._at(f"checked-{envoy_schema}-{tool_key()}.bin"))
        self._load()

    def accepted(self, envoy_version: str) -> DigestSet:
        """Resources that an Envoy of this version accepted."""
        return DigestSet(self._at(f"accepted-{digest_of(envoy_version.encode())}.bin"))

    def _at(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / name

    def _load(self) -> None:
        if self._folder is None:
            return
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            self.parsed.known = self._stored("parsed", "texts")
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            stored = self._stored("state", "records")
            self.services, self.nodes = (
                {name: Record(*entry) for name, entry in records.items()} for records in stored
            )

    def _stored(self, kind: str, part: str) -> Any:
        """Read a part of a cache file; one of another tool, or none at all, raises."""
        content = orjson.loads(_read(self._file(kind)))
        if content["tool"] != tool_key():
            raise KeyError(kind)
        return content[part]

    def _file(self, kind: str) -> Path:
        if self._folder is None:  # everybody has asked before
            raise AssertionError(kind)
        return self._folder / f"{self._name}.{kind}"

    def save(self, *, nodes: dict[str, Record], services: dict[str, Record]) -> None:
        """Remember a build that was written."""
        self.checked.save()
        if self._folder is None:
            return
        if self.parsed.is_changed or len(self.parsed.used) != len(self.parsed.known):
            texts = {"tool": tool_key(), "texts": self.parsed.used}
            _write(self._file("parsed"), orjson.dumps(texts))
        if not (_is_same(nodes, self.nodes) and _is_same(services, self.services)):
            records = [services, nodes]
            state = {"tool": tool_key(), "records": records}
            _write(self._file("state"), orjson.dumps(state, default=_entry, option=_AS_TOLD))


# Records are written as lists of their values, half the size of mappings.
_AS_TOLD = orjson.OPT_PASSTHROUGH_DATACLASS


def _entry(record: Record) -> list[Any]:
    return [getattr(record, name) for name in Record.__slots__]


def _is_same(records: dict[str, Record], known: dict[str, Record]) -> bool:
    """Whether every record is the very one that was loaded."""
    return len(records) == len(known) and all(
        known.get(name) is record for name, record in records.items()
    )


def _read(path: Path) -> bytes:
    """Return what `_write` wrote; nothing where it is missing, cut off or altered."""
    try:
        data = path.read_bytes()
    except OSError:
        return b""
    content = data[_SEAL_BYTES:]
    return content if _seal(content) == data[:_SEAL_BYTES] else b""


def _write(path: Path, content: bytes) -> None:
    """Replace a cache file; a cache that cannot be written is no reason to fail."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=_PRIVATE, exist_ok=True)
        try:
            with open(temporary, "wb", opener=_private) as file:
                file.write(_seal(content))
                file.write(content)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _seal(content: bytes) -> bytes:
    """Digest in front of a cache file: a damaged record could end up in a manifest."""
    return hashlib.sha256(content).digest()


def default_cache_folder() -> Path | None:
    """``$XDG_CACHE_HOME/meshc``, usually ``~/.cache/meshc``; None for a user without a home.

    One that others may write to is made private or not used: what it says of a resource decides
    that no Envoy is asked about it.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "meshc"
    except RuntimeError:
        return None
    with contextlib.suppress(FileNotFoundError):
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return None
        if stat.S_IMODE(status.st_mode) & _OTHERS:
            try:
                folder.chmod(_PRIVATE)
            except OSError:
                return None
    return folder
