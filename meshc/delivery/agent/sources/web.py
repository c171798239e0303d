"""A bundle behind a web server, any that gives out files: the output of a build, or a publication.

The server and the network are not trusted to be quick, whole or honest: everything has a limit,
what comes is compared with manifest or pointer, and files that this host has are not asked for
again.  Of a publication the node's own small pointer is asked for, where the manifest of a large
mesh has megabytes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from meshc.artifact.layout import MANIFEST
from meshc.artifact.manifest import file_digest
from meshc.artifact.published import INDEX_PATH, MAX_BLOB, MAX_POINTER, blob_path, pointer_path
from meshc.delivery.agent.exchange import BadReplyError, Limits, ask, connect
from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.delivery.agent.sources import SourceError
from meshc.delivery.agent.sources.published import pointer_from, read_published
from meshc.delivery.agent.sources.reading import read_bundle
from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.exchange import Reply
    from meshc.delivery.agent.settings import AgentSettings

_OK, _NOT_MODIFIED = 200, 304
_REDIRECTS = (301, 302, 303, 307, 308)
_ABSENT = (403, 404, 410)
"""What servers say about a file that they do not have; some do not even admit that."""
_LEAST_RATE = 1024.0
_MAX_VALUE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    """The last answer, and what a server can be told so that it need not give it again."""

    path: str = ""
    generation: str | None = None
    digest: str = ""
    etag: str = ""
    modified: str = ""

    def conditions(self) -> dict[str, str]:
        """Return headers for asking whether there is something new."""
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.modified} if self.modified else {}


class WebSource:
    """A source at an address."""

    def __init__(self, settings: AgentSettings, held: Callable[[str], bytes | None]) -> None:
        self.order: int | None = None
        self.unwatched = ""
        self._settings = settings
        self._held = held
        self._pointer = pointer_path(settings.node)
        try:
            parts = urlsplit(settings.source)
        except ValueError as error:
            raise SettingsError(f'the source "{settings.source}" is no address: {error}') from error
        if not parts.hostname or parts.username or parts.password or parts.query:
            raise SettingsError(
                "the source must be http(s)://HOST[:PORT][/PATH], without a password or a query",
                hint="restrict who may read it by network or by certificates",
            )
        self._is_tls = parts.scheme == "https"
        try:
            self._port = parts.port or (443 if self._is_tls else 80)
        except ValueError as error:
            raise SettingsError(f'the source "{settings.source}" has no usable port') from error
        self._host = parts.hostname
        self._netloc = parts.netloc
        self._base = parts.path.rstrip("/")
        self._tls = self._context() if self._is_tls else None
        self._last = _Last()

    def watch(self, notify: Callable[[float], None]) -> str:
        """A web server sends no events; it is asked at every poll."""
        del notify
        return ""

    def fetch(self, known: str | None) -> NodeBundle | None:
        """Return the newest bundle; one small request where nothing has changed."""
        last, self._last = self._last, _Last()
        found: Reply | None = None
        if known is not None and known == last.generation:
            found = self._get(last.path, self._limit(last.path), last.conditions())
            if found.status == _NOT_MODIFIED and last.conditions():
                self._last = last
                return None
            if found.status == _OK and file_digest(found.body) == last.digest:
                self._last = _last(last.path, found, known)
                return None
        if found is not None and found.status == _OK and last.path == self._pointer:
            path = last.path
        else:
            path, found = self._newest(found if found and last.path == MANIFEST else None)
        self._accept(found, path)
        bundle = self._read(path, found, known)
        generation = known
        if bundle is not None:
            generation = generation_of(digests_of(bundle.files))
        self._last = _last(path, found, generation)
        return bundle

    def _newest(self, manifest: Reply | None) -> tuple[str, Reply]:
        """Return the pointer of this node; the manifest where there is none."""
        reply = self._get(self._pointer, MAX_POINTER, {})
        if reply.status not in _ABSENT:
            return self._pointer, reply
        if manifest is None:
            manifest = self._get(MANIFEST, self._limit(MANIFEST), {})
        is_missing = manifest.status in _ABSENT
        if is_missing and self._get(INDEX_PATH, MAX_POINTER, {}).status == _OK:
            raise SourceError(
                f'{self._settings.source} has no files for node "{self._settings.node}" (any '
                f'more): there is no "{self._pointer}"',
                hint="look at --node; has the node left the mesh?",
            )
        return MANIFEST, manifest

    def _limit(self, path: str) -> int:
        return self._settings.max_manifest if path == MANIFEST else MAX_POINTER

    def _read(self, path: str, reply: Reply, known: str | None) -> NodeBundle | None:
        if path == MANIFEST:
            self.order = None
            return read_bundle(reply.body, self._settings.node, known, self._file)
        pointer = pointer_from(reply.body, self._settings.node)
        self.order = pointer.order
        return read_published(
            pointer, known, held=self._held, blob=self._blob, max_file=self._settings.max_file
        )

    def _blob(self, digest: str) -> bytes:
        path = blob_path(digest)
        reply = self._get(path, MAX_BLOB, {})
        self._accept(reply, path)
        return reply.body

    def close(self) -> None:
        """Nothing is open between two fetches."""

    def _file(self, path: str, digest: str) -> bytes:
        data = self._held(digest)
        if data is not None:
            return data
        reply = self._get(path, self._settings.max_file, {})
        self._accept(reply, path)
        return reply.body

    def _get(self, path: str, limit: int, headers: dict[str, str]) -> Reply:
        limits = Limits(
            deadline=time.monotonic() + self._settings.source_limit,
            max_body=limit,
            least_rate=_LEAST_RATE,
        )
        target = f"{self._base}/{quote(path, safe='/@')}"
        try:
            plain = connect(self._host, self._port, limits)
            try:
                stream = plain
                if self._tls is not None:
                    stream = self._tls.wrap_socket(plain, server_hostname=self._host)
                return ask(
                    stream,
                    target,
                    host=self._netloc,
                    limits=limits,
                    # A compressed answer could be small on the way and huge in memory.
                    headers={"Accept-Encoding": "identity", "User-Agent": "meshc-agent"} | headers,
                )
            finally:
                plain.close()
                if self._tls is not None:
                    stream.close()
        except (OSError, BadReplyError, UnicodeError) as error:  # the last: no name of a host
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SourceError(
                f'cannot get "{path}" from {self._settings.source}: {reason}'
            ) from error

    def _accept(self, reply: Reply, path: str) -> None:
        where = f'"{path}" from {self._settings.source}'
        if reply.status in _REDIRECTS:
            raise SourceError(
                f"cannot get {where}: it has moved, and redirects are not followed",
                hint="give the final address as the source",
            )
        if reply.status != _OK:
            raise SourceError(
                f"cannot get {where}: the server says {reply.status}",
                is_incomplete=path not in {MANIFEST, self._pointer},
            )
        if reply.headers.get("content-encoding", "identity").lower() != "identity":
            raise SourceError(f"cannot get {where}: it is compressed, though plain was asked for")

    def _context(self) -> SSLContext:
        import ssl  # noqa: PLC0415, 3 MiB that only this source needs

        try:
            return ssl.create_default_context(cafile=self._settings.ca_file or None)
        except OSError as error:
            raise SettingsError(
                f'cannot use the certificates in "{self._settings.ca_file}": {error}'
            ) from error


def _last(path: str, reply: Reply, generation: str | None) -> _Last:
    return _Last(
        path=path,
        generation=generation,
        digest=file_digest(reply.body),
        etag=_repeatable(reply.headers.get("etag", "")),
        modified=_repeatable(reply.headers.get("last-modified", "")),
    )


def _repeatable(value: str) -> str:
    """Return what a server says if it can be said to it again; else nothing."""
    is_plain = value.isascii() and value.isprintable() and len(value) <= _MAX_VALUE
    return value if is_plain else ""
