"""A bundle behind a web server, laid out like `out/`: any server that gives out files will do.

The server and the network are not trusted to be quick, whole or honest: everything has a limit,
what comes is compared with the manifest, and files that this host has are not asked for again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from meshc.artifact.layout import MANIFEST
from meshc.delivery.agent.exchange import BadReplyError, Limits, ask, connect
from meshc.delivery.agent.sources import SourceError
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
_LEAST_RATE = 1024.0
_MAX_VALUE = 1024


class WebSource:
    """A source at an address."""

    def __init__(self, settings: AgentSettings, held: Callable[[str], bytes | None]) -> None:
        self._settings = settings
        self._held = held
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
        self._etag = ""
        self._modified = ""
        self._etag_is_of: str | None = None

    def watch(self, notify: Callable[[float], None]) -> str:
        """A web server sends no events; it is asked at every poll."""
        del notify
        return ""

    def fetch(self, known: str | None) -> NodeBundle | None:
        """Return the newest bundle; one small request where nothing has changed."""
        headers = {}
        if known is not None and known == self._etag_is_of:
            if self._etag:
                headers["If-None-Match"] = self._etag
            elif self._modified:
                headers["If-Modified-Since"] = self._modified
        reply = self._get(MANIFEST, self._settings.max_manifest, headers)
        if reply.status == _NOT_MODIFIED and headers:
            return None
        self._accept(reply, MANIFEST)
        self._etag_is_of = None
        bundle = read_bundle(reply.body, self._settings.node, known, self._file)
        self._etag = _repeatable(reply.headers.get("etag", ""))
        self._modified = _repeatable(reply.headers.get("last-modified", ""))
        self._etag_is_of = known
        if bundle is not None:
            from meshc.delivery.agent.generations import digests_of, generation_of  # noqa: PLC0415

            self._etag_is_of = generation_of(digests_of(bundle.files))
        return bundle

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
                is_incomplete=path != MANIFEST,
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


def _repeatable(value: str) -> str:
    """Return what a server says if it can be said to it again; else nothing."""
    is_plain = value.isascii() and value.isprintable() and len(value) <= _MAX_VALUE
    return value if is_plain else ""
